"""Loaders that feed training: batches of images, of clips, and who draws what."""
