"""Hold the numbers that networks and the rules round them share; those of prompts are SAM's."""

# Labels of points. -1 fills up batches, and stands for "no prompt at all" where it is alone.
NO_POINT, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3
MASK_PROMPT_LOGIT = 32.0
"""Bound of the logits of a mask prompt, on either side."""
FILL_LABEL = -2.0
"""Label of a place of a graph that holds no point at all; ``NO_POINT`` is a point that says nothing."""
EMPTY_BIAS = -3e4
"""Bias of a logit where there is nothing: its weight is zero, also where numbers have 16 bits."""
ABSENT_LOGIT = -1024.0
"""SAM 2's NO_OBJ_SCORE, for every pixel of an object that is not there: its sigmoid is zero exactly."""
