"""What a run tells: its figures, its report, its numbers for TensorBoard, and whether to trust them."""
