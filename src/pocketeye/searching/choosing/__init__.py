"""Choose networks from a library of taught candidates: by exact sums, by theta, by whole networks."""
