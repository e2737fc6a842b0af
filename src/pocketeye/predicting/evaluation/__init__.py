"""Judging classifiers, detectors and segmenters on data with truth."""
