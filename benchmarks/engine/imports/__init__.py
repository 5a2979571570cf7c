"""ONNX files of many sources: whether they come in, how exactly, how fast, and what fits them."""
