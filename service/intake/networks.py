"""What kind of file an upload is, by its first bytes: enough to say what went wrong, no more.

ONNX files are parsed in a process of their own (``service.housekeeping.inspector``).
"""

from __future__ import annotations

from pathlib import Path

from compress.network.preprocessing import Normalisation
from compress.network.sources import inspection
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.source import FamilySource
from compress.values.errors import InvalidNetwork, InvalidWeights

_LOOKED_AT = 16
_ZIP, _HDF5, _PICKLES = b"PK\x03\x04", b"\x89HDF", (b"\x80\x02", b"\x80\x03", b"\x80\x04")
_EXPORT = "export the network as ONNX (torch.onnx.export) and send that file"


def check_onnx(path: Path) -> None:
    """Refuse a file that is known to be no ONNX file. Raises InvalidNetwork with the way out."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    if not head:
        raise InvalidNetwork("the file is empty")
    if head.startswith(_ZIP):
        raise InvalidNetwork(f"the file is a zip archive, as torch.save writes: {_EXPORT}")
    if head.startswith(_PICKLES):
        raise InvalidNetwork(f"the file is a pickle, and these are never read: {_EXPORT}")
    if head.startswith(_HDF5):
        raise InvalidNetwork(
            "the file is HDF5, as Keras writes: export the network as ONNX (tf2onnx) and send that"
        )
    if _is_safetensors(head):
        raise InvalidNetwork(
            "the file is safetensors, which holds no network: name its architecture and its "
            "normalisation, or send an ONNX file"
        )


def inspect_weights(path: Path, source: FamilySource, normalisation: Normalisation) -> ModelInfo:
    """Look into weights of a family. Raises InvalidWeights."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    if not _is_safetensors(head) and head.startswith(b"\x08"):
        raise InvalidWeights(
            "the file is not safetensors but looks like ONNX: leave architecture out, an ONNX file "
            "holds its own"
        )
    info = inspection.inspect_weights(path, source.config)
    if len(normalisation.mean) != info.in_channels:
        raise InvalidWeights(
            f"normalisation: has {len(normalisation.mean)} channels, the network takes "
            f"{info.in_channels}"
        )
    return info


def _is_safetensors(head: bytes) -> bool:
    """A safetensors file begins with the length of its header, a JSON object."""
    return head[8:9] == b"{"
