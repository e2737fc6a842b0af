"""Describe a data set for a person: counts, problems, a sheet of samples."""
