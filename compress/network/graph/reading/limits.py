"""What a file may ask for at most. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FileLimits:
    """Bounds on a file and on what comes of it; each is looked at before the memory is taken.

    ``file_bytes`` bounds the file, ``fields`` the fields of its messages (a field of two bytes can
    take hundreds in memory), ``nodes`` the operators after all functions are inlined, ``tensors``
    its constants, ``elements`` one tensor that is computed while constants are folded, ``rank`` the
    axes of a tensor, ``name_bytes`` a name, ``metadata_bytes`` all of the file's metadata.
    """

    file_bytes: int = 512 * 2**20
    fields: int = 2_000_000
    nodes: int = 20_000
    tensors: int = 40_000
    elements: int = 2**24
    rank: int = 8
    name_bytes: int = 1_000
    metadata_bytes: int = 2**20
