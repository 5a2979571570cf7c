"""The steps from a stranger's ONNX file to a graph, each bounded."""
