"""Send a PyTorch module in one call: it is exported and checked here, and uploaded as ONNX.

This is the only part of the client that needs torch, ONNX and ONNX Runtime.
"""

from featherweight.torch.adding import add_model
from featherweight.torch.checkpoints import CheckpointUnfit, load_weights
from featherweight.torch.exporting import Exported, ExportFailed, export

__all__ = ["CheckpointUnfit", "ExportFailed", "Exported", "add_model", "export", "load_weights"]
