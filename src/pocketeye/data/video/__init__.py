"""Videos: decoding, seeking, frames."""
