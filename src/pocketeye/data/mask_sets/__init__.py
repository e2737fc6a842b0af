"""Read images with masks of objects: COCO, SA-1B, label masks."""
