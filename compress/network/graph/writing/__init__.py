"""The steps from a graph to an ONNX file."""
