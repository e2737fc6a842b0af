"""Training trackers: prompts, clips through the memory, losses, recipes."""
