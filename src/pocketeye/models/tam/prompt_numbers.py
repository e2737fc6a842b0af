"""Hold the numbers of prompts that networks and the rules round them share; they are SAM's."""

# Labels of points. -1 fills up batches, and stands for "no prompt at all" where it is alone.
NO_POINT, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
MASK_PROMPT_LOGIT = 32.0
"""Bound of the logits of a mask prompt, on either side."""
