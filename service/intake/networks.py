"""Check uploaded networks: ONNX files for their kind, weights of a family for all they hold.

ONNX files are parsed in a process of their own (``service.housekeeping.inspector``).
"""

from __future__ import annotations

from pathlib import Path

from compress.network.preprocessing import Normalisation
from compress.network.sources import inspection
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.source import FamilySource
from compress.values.errors import InvalidNetwork, InvalidWeights
from compress.values.file_formats import answers


def check_onnx(path: Path) -> None:
    """Refuse a file that is known to be no ONNX file. Raises InvalidNetwork with the way out."""
    wrong = answers.wrong_kind(path, "network")
    if wrong is not None:
        raise InvalidNetwork(wrong)


def inspect_weights(path: Path, source: FamilySource, normalisation: Normalisation) -> ModelInfo:
    """Look into weights of a family. Raises InvalidWeights."""
    info = inspection.inspect_weights(path, source.config)
    if len(normalisation.mean) != info.in_channels:
        raise InvalidWeights(
            f"normalisation: has {len(normalisation.mean)} channels, the network takes "
            f"{info.in_channels}"
        )
    return info
