"""Feed training: load batches of images, of clips, and say who draws what."""
