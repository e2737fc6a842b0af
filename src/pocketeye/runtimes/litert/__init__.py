"""Use LiteRT as a runtime: convert, quantise by the AI Edge quantizer, run on the CPU."""
