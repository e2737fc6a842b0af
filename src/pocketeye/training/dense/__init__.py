"""Train detectors and segmenters."""
