"""How to make a network smaller, and what it then costs.

The torch-free files (``knobs``, ``candidate``, ``catalog``, ``measurement``, ``errors``, every
``config.py``) are the vocabulary the other rooms share; everything else needs torch and ONNX.
"""
