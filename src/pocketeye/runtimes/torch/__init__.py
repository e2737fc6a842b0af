"""torch as a runtime: `torch.export` programs, saved and run."""
