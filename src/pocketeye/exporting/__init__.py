"""Make artefacts of networks, with their proof: export, parity, latency, the cells of ``bench``."""
