"""Write ONNX graphs, rewrite them, quantise them, and run them by ONNX Runtime."""
