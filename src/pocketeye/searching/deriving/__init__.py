"""Derive architectures from a trained supernet: sampling in the band, ranking, baselines."""
