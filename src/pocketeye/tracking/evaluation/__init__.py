"""Judge trackers on videos with truth: J, F, J&F; baselines that need no training."""
