"""Hold everything that travels beside an exported graph, in numpy: pre- and post-processing, scripts."""
