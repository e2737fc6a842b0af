"""ONNX Runtime: writing graphs, passes over them, int8, running them."""
