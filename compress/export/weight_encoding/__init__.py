"""The smallest honest ONNX form of a weight, whatever technique made it."""
