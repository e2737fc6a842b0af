"""Export a tracker, image and video part: its graphs, the proof that they track the same, its script."""
