"""Weights on disk: reading them, writing them, what lies beside them, and those that come along."""
