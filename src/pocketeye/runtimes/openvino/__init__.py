"""Use OpenVINO as a runtime: write its IR, quantise it with NNCF, run it on the CPU."""
