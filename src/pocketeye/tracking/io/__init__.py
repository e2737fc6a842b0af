"""Frames from anywhere; masks to videos and files."""
