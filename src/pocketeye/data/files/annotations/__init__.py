"""Annotations as files write them: boxes and masks of COCO, polygons, run lengths, pairs of files."""
