"""Use torch as a runtime: save and run ``torch.export`` programs."""
