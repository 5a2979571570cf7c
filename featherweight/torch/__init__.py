"""Send a PyTorch module in one call: it is exported and checked here, and uploaded as ONNX.

This is the only part of the client that needs torch, ONNX and ONNX Runtime.
"""

from featherweight.torch.adding import add_model
from featherweight.torch.exporting import Exported, ExportFailed, export

__all__ = ["ExportFailed", "Exported", "add_model", "export"]
