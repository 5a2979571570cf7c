"""What a file may ask for at most. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FileLimits:
    """Bounds on a file and on what comes of it; each is looked at before the memory is taken.

    ``file_bytes`` bounds the file; ``fields`` the fields of its messages, since one of two bytes
    can take hundreds in memory; ``unpacked_bytes`` its packed numbers; ``attribute_numbers`` the
    numbers of one attribute; ``name_bytes`` a name; ``metadata_bytes`` the model's metadata.
    ``nodes`` bounds the operators after all functions are inlined, ``tensors`` its constants,
    ``rank`` the axes of a tensor, and ``elements`` one that is computed while constants are folded.
    """

    file_bytes: int = 512 * 2**20
    fields: int = 1_000_000
    unpacked_bytes: int = 512 * 2**20
    attribute_numbers: int = 2**16
    name_bytes: int = 1_000
    metadata_bytes: int = 2**20
    nodes: int = 10_000
    tensors: int = 20_000
    rank: int = 8
    elements: int = 2**24
