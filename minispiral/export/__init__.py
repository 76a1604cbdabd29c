"""ONNX: trained networks for other programs. Nothing in the library depends on it."""
