"""Backbones: FBNet, CAS-ViT and the plain ViT, and the names in their published files."""
