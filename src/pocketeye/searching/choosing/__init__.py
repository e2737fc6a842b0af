"""Choose networks by a library of taught candidates: by exact sums, by theta, as whole networks."""
