"""Detectors and segmenters on any backbone: RetinaNet, Mask R-CNN, Semantic FPN."""
