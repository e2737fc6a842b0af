"""Read frames from anywhere; write masks to videos and files."""
