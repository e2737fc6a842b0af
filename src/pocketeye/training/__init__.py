"""Training, evaluation and prediction; import the modules that are needed (Lightning is heavy)."""
