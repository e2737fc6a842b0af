"""Use ExecuTorch with XNNPACK as a runtime: lower, quantise by torchao, run on the CPU."""
