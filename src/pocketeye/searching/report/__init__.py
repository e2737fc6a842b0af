"""The page a search ends with."""
