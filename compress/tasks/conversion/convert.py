"""Make a dataset of a stranger's file: a process of its own, bounded by whoever starts it.

    python -m compress.tasks.conversion.convert READING SECONDS DESCRIPTOR PROGRESS < file

It writes the dataset to the open file of that descriptor, and the share that is done to that of
PROGRESS, and answers a ``ConversionVerdict`` on stdout. Torch is not loaded.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import IO

from compress.tasks.conversion import arrays
from compress.tasks.conversion.pictures import pictures
from compress.tasks.conversion.tables import tables
from compress.tasks.conversion.text import bundle, id_arrays, texts
from compress.tasks.formats import npz
from compress.tasks.formats.watching import SHARE, Watch
from compress.tasks.names import TEXT_TASKS
from compress.tasks.reading import Conversion, ConversionVerdict, DatasetReading, RefusedFile
from compress.values.errors import InvalidData
from compress.values.file_formats import answers
from compress.values.file_formats.recognition import FileFormat, recognise

_STDIN = Path("/dev/stdin")
_NO_MEMORY = (
    "the file takes more memory than an inspection may have: send fewer or smaller examples, or "
    "let who runs the service raise inspection_memory_bytes"
)


def convert(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution | None = None
) -> Conversion:
    """Write the dataset that ``path`` holds to ``target``, an open file that can seek.

    Raises InvalidData saying what is wrong in the file, where, and what was expected.
    """
    wrong = answers.wrong_kind(path, reading.expected)
    if wrong is not None:
        raise InvalidData(wrong)
    kind = recognise(path)
    is_bundle = kind == FileFormat.ZIP and reading.task == "unlabelled"
    if reading.task in TEXT_TASKS or is_bundle:
        return _convert_texts(path, target, reading, kind, caution)
    return _convert_others(path, target, reading, kind, caution)


def _convert_others(
    path: Path,
    target: IO[bytes],
    reading: DatasetReading,
    kind: FileFormat,
    caution: npz.Caution | None,
) -> Conversion:
    if reading.is_of_text:
        raise InvalidData(
            f"max_length, max_words, lower_case and word_parts are for texts: of {reading.task}, "
            "send these with the tokenizer.json that cuts them (--tokenizer)"
        )
    if kind in (FileFormat.TEXT, FileFormat.PARQUET):
        return tables.convert(path, target, reading, caution=caution)
    if reading.is_of_table:
        raise InvalidData(
            "target and features are for tables, and the file is neither csv nor jsonl in UTF-8, "
            "nor parquet"
        )
    if kind == FileFormat.PICTURES:
        if reading.task != "image_classification":
            raise InvalidData(f"a zip of pictures is for image_classification, not {reading.task}")
        return pictures.convert(path, target, reading, caution=caution)
    return arrays.convert(path, target, reading, caution=caution)


def _convert_texts(
    path: Path,
    target: IO[bytes],
    reading: DatasetReading,
    kind: FileFormat,
    caution: npz.Caution | None,
) -> Conversion:
    if kind in (FileFormat.TEXT, FileFormat.PARQUET):
        return texts.convert(path, target, reading, caution=caution)
    if kind == FileFormat.NPZ:
        return id_arrays.convert(path, target, reading, caution=caution)
    if kind == FileFormat.ZIP:
        with bundle.opened(path, caution=caution) as (tokenizer, file):
            return texts.convert(file, target, reading, tokenizer=tokenizer, caution=caution)
    raise InvalidData(
        f"{reading.task} takes csv or jsonl in UTF-8, parquet, CoNLL for tagged sentences, or an "
        f"npz of ids; the file is none of these ({kind})"
    )


def verdict(
    path: Path, target: IO[bytes], reading: DatasetReading, *, caution: npz.Caution
) -> ConversionVerdict:
    """Convert the file; what it is refused for becomes words."""
    try:
        return ConversionVerdict(found=convert(path, target, reading, caution=caution))
    except InvalidData as error:
        return ConversionVerdict(found=RefusedFile(reason=str(error)))
    except MemoryError:
        return ConversionVerdict(found=RefusedFile(reason=_NO_MEMORY))


def _tell(descriptor: int, share: float) -> None:
    """Write the share over the one before: eight bytes, which whoever waits reads at any time."""
    os.pwrite(descriptor, SHARE.pack(share), 0)


def main() -> None:
    """Answer for the file on stdin."""
    reading, seconds, descriptor, progress = sys.argv[1:]
    watch = Watch(partial(_tell, int(progress)))
    caution = npz.Caution(most_ratio=npz.MOST_RATIO, seconds=float(seconds), watch=watch)
    with os.fdopen(int(descriptor), "r+b") as target:
        found = verdict(
            _STDIN, target, DatasetReading.model_validate_json(reading), caution=caution
        )
    sys.stdout.write(found.model_dump_json())


if __name__ == "__main__":
    main()
