"""Read videos: decoding, seeking, frames."""
