"""Short clips to train trackers on: cut from videos, moved images, made of cut-outs."""
