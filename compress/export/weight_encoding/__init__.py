"""Encode weights in the smallest exact ONNX form, whatever technique made them."""
