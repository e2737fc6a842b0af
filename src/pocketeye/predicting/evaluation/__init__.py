"""Judge classifiers, detectors and segmenters on annotated data."""
