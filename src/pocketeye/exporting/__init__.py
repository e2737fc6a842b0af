"""From a network to an artefact with its proof: export, parity, latency, the cells of `bench`."""
