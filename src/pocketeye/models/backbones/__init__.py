"""Backbones: FBNet, CAS-ViT, the plain ViT, and the key maps of their published files."""
