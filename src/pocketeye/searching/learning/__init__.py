"""Train a supernet: weights and theta in turn, over one or several processes."""
