"""Training detectors and segmenters."""
