"""Write words and settings into a dataset's file. Torch-free."""

from __future__ import annotations

import numpy as np

from compress.tasks.conversion.writing import DatasetWriter
from compress.tasks.formats.words import SETTINGS, TOKENIZER, Words


def write(writer: DatasetWriter, words: Words) -> None:
    """Write everything of which a package is made."""
    for name, texts in words.tables.items():
        writer.add_texts(name, texts)
    _write_bytes(writer, SETTINGS, words.settings.document())
    if words.tokenizer:
        _write_bytes(writer, TOKENIZER, words.tokenizer)


def _write_bytes(writer: DatasetWriter, name: str, content: bytes) -> None:
    writer.add(name, (len(content),), "|u1", [np.frombuffer(content, np.uint8)])
