"""Augmentation and preparation of images."""
