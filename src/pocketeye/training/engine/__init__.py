"""Hold what every training shares: the loop, checkpoints, averages, processes, figures, reports."""
