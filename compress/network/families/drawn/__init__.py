"""Networks for texts, tables and signals, drawn as graphs of ONNX's operators."""
