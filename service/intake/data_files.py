"""Look into a dataset's file; one that is not as datasets are kept is made so, in a child process.

Files of strangers are parsed within limits; pictures and odd arrays only in that child, which is
bounded in memory, time and what it writes (``compress.tasks.conversion.convert``).
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import ValidationError

from compress.tasks import inspection
from compress.tasks.conversion import arrays
from compress.tasks.formats import npz
from compress.tasks.inspection import DatasetInfo
from compress.tasks.reading import (
    Conversion,
    ConversionVerdict,
    DatasetOrigin,
    DatasetReading,
    RefusedFile,
)
from compress.values.errors import InvalidData
from compress.values.file_formats import answers
from compress.values.file_formats.recognition import FileFormat, recognise
from featherweight.system import bounded
from featherweight.system.bounded import ProcessBounds
from service.intake.uploads import Remade
from service.resources import Resources
from service.settings import ServiceSettings
from store.files.file_store import Incoming, StoredFile

_MODULE = "compress.tasks.conversion.convert"
_ANSWER_BYTES = 16 * 2**20
_DIRECTORY_BYTES = 2**20
"""An npz has a directory and headers besides its arrays."""
_log = logging.getLogger(__name__)


def inspect(
    resources: Resources, reading: DatasetReading, path: Path, stored: StoredFile
) -> DatasetInfo | Remade[DatasetInfo]:
    """Return what the file holds, or another file that holds it as datasets are kept.

    Raises InvalidData saying what is wrong, where, and what was expected.
    """
    wrong = answers.wrong_kind(path, "dataset")
    if wrong is not None:
        raise InvalidData(wrong)
    caution = npz.Caution(most_ratio=npz.MOST_RATIO, seconds=resources.settings.inspection_seconds)
    is_zip = recognise(path) == FileFormat.PICTURES
    if not is_zip and arrays.is_plain(path, reading, caution=caution):
        info = inspection.inspect_dataset(path, caution=caution)
        said = () if reading.layout else arrays.ambiguous(path, caution=caution)
        return info.model_copy(update={"warnings": (*info.warnings, *said)})
    return _remade(resources, reading, path, stored)


def _remade(
    resources: Resources, reading: DatasetReading, path: Path, stored: StoredFile
) -> Remade[DatasetInfo]:
    arriving = resources.files.arriving(limit=npz.MAX_BYTES + _DIRECTORY_BYTES)
    try:
        done = _converted(resources.settings, reading, path, arriving)
        arriving.measure()
        info = inspection.inspect_dataset(arriving.path)
    except BaseException:
        arriving.drop()
        raise
    origin = DatasetOrigin(
        sha256=stored.sha256, size_bytes=stored.size_bytes, format=done.format, reading=reading
    )
    said = {"warnings": (*done.warnings, *info.warnings), "notes": done.notes, "origin": origin}
    return Remade(file=arriving, found=info.model_copy(update=said))


def _converted(
    settings: ServiceSettings, reading: DatasetReading, path: Path, target: Incoming
) -> Conversion:
    bounds = ProcessBounds(
        memory_bytes=settings.inspection_memory_bytes,
        seconds=settings.inspection_seconds,
        answer_bytes=_ANSWER_BYTES,
        output_bytes=npz.MAX_BYTES + _DIRECTORY_BYTES,
    )
    command = [_MODULE, reading.model_dump_json(), str(settings.inspection_seconds)]
    ended = bounded.run(command, path, bounds, is_wanted=lambda: True, output=target.output)
    if words := ended.words:
        _log.warning("a conversion ended badly: %s\n%s", words, ended.error)
        raise InvalidData(
            f"the file could not be read within {bounds.seconds:g} s and "
            f"{bounds.memory_bytes / 2**30:.3g} GiB of memory: {words}. Send fewer or smaller "
            "images, or let who runs the service raise the limits of inspections"
        )
    try:
        found = ConversionVerdict.model_validate_json(ended.answer).found
    except ValidationError as error:
        raise InvalidData("the file was read without an answer: send it again") from error
    if isinstance(found, RefusedFile):
        raise InvalidData(found.reason)
    return found
