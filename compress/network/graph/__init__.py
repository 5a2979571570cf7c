"""A network as one graph of ONNX operators: read, described, changed and written. Torch-free."""
