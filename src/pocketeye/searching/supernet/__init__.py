"""Build FBNet's supernet: mixtures of candidate blocks, and theta."""
