"""Segment one image by prompts, or everything in it."""
