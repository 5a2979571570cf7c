"""Look into a dataset's file; one that is not as datasets are kept is made so, in a child process.

Files of strangers are parsed within limits; pictures, tables and odd arrays only in that child,
which is bounded in memory, time and what it writes (``compress.tasks.conversion.convert``).
"""

from __future__ import annotations

import logging
import math
import os
import signal
import tempfile
from functools import partial
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from compress.tasks import inspection
from compress.tasks.conversion import arrays
from compress.tasks.conversion.text import id_arrays
from compress.tasks.formats import npz
from compress.tasks.formats.watching import SHARE, Watch
from compress.tasks.inspection import DatasetInfo
from compress.tasks.names import TEXT_TASKS
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
from featherweight.system.bounded import EndedProcess, ProcessBounds
from service.intake.uploads import Remade
from service.resources import Resources
from service.settings import ServiceSettings
from service.shared.looks import Look
from store.files.file_store import Incoming, StoredFile

_MODULE = "compress.tasks.conversion.convert"
_ANSWER_BYTES = 16 * 2**20
_REMADE = frozenset({FileFormat.PICTURES, FileFormat.TEXT, FileFormat.PARQUET})
"""No npz: always made over."""
_BREAKS = frozenset({-signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGSEGV})
"""How a process ends whose reader meets what it never expected."""
_DIRECTORY_BYTES = 2**20
"""An npz has a directory and headers besides its arrays."""
_log = logging.getLogger(__name__)


def inspect(
    resources: Resources, reading: DatasetReading, look: Look, path: Path, stored: StoredFile
) -> DatasetInfo | Remade[DatasetInfo]:
    """Return what the file holds, or another file that holds it as datasets are kept.

    Raises InvalidData saying what is wrong, where, and what was expected, and GivenUp once nobody
    wants the look any more.
    """
    look.tell("inspecting", 0.0)
    wrong = answers.wrong_kind(path, reading.expected)
    if wrong is not None:
        raise InvalidData(wrong)
    caution = _caution(resources.settings, look)
    is_text = reading.task in TEXT_TASKS
    is_plain = id_arrays.is_plain if is_text else arrays.is_plain
    is_bundled = is_text or reading.task == "unlabelled"
    remade = _REMADE | {FileFormat.ZIP} if is_bundled else _REMADE
    if recognise(path) not in remade and is_plain(path, reading, caution=caution):
        caution_again = _caution(resources.settings, look)
        info = inspection.inspect_dataset(path, task=reading.task, caution=caution_again)
        said = () if _is_one_way(reading) else arrays.ambiguous(path, caution=caution)
        return info.model_copy(update={"warnings": (*info.warnings, *said)})
    return _remade(resources, reading, look, path, stored)


def _caution(settings: ServiceSettings, look: Look) -> npz.Caution:
    watch = Watch(partial(look.tell, "inspecting"))
    return npz.Caution(most_ratio=npz.MOST_RATIO, seconds=settings.inspection_seconds, watch=watch)


def _is_one_way(reading: DatasetReading) -> bool:
    """Whether the order of axes is said, or has no meaning."""
    return reading.layout is not None or reading.task != "image_classification"


def _remade(
    resources: Resources, reading: DatasetReading, look: Look, path: Path, stored: StoredFile
) -> Remade[DatasetInfo]:
    arriving = resources.files.arriving(limit=npz.MAX_BYTES + _DIRECTORY_BYTES)
    try:
        done = _converted(resources.settings, reading, look, path, arriving)
        arriving.measure()
        caution = _caution(resources.settings, look)
        info = inspection.inspect_dataset(arriving.path, task=reading.task, caution=caution)
    except BaseException:
        arriving.drop()
        raise
    origin = DatasetOrigin(
        sha256=stored.sha256, size_bytes=stored.size_bytes, format=done.format, reading=reading
    )
    said = {"warnings": (*done.warnings, *info.warnings), "notes": done.notes, "origin": origin}
    return Remade(file=arriving, found=info.model_copy(update=said))


def _is_wanted(look: Look, progress: IO[bytes]) -> bool:
    """Pass on how far the child is. Raises GivenUp."""
    written = os.pread(progress.fileno(), SHARE.size, 0)
    share = SHARE.unpack(written)[0] if len(written) == SHARE.size else 0.0
    look.tell("converting", min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0)
    return True


def _converted(
    settings: ServiceSettings, reading: DatasetReading, look: Look, path: Path, target: Incoming
) -> Conversion:
    bounds = ProcessBounds(
        memory_bytes=settings.inspection_memory_bytes,
        seconds=settings.inspection_seconds,
        answer_bytes=_ANSWER_BYTES,
        output_bytes=npz.MAX_BYTES + _DIRECTORY_BYTES,
    )
    command = [_MODULE, reading.model_dump_json(), str(settings.inspection_seconds)]
    with tempfile.TemporaryFile() as progress:
        wanted = partial(_is_wanted, look, progress)
        outputs = [target.output, progress]
        ended = bounded.run(command, path, bounds, is_wanted=wanted, outputs=outputs)
    if ended.words:
        _log.warning("a conversion ended badly: %s\n%s", ended.words, ended.error)
        raise InvalidData(_ended_badly(ended, bounds))
    try:
        found = ConversionVerdict.model_validate_json(ended.answer).found
    except ValidationError as error:
        raise InvalidData("the file was read without an answer: send it again") from error
    if isinstance(found, RefusedFile):
        raise InvalidData(found.reason)
    return found


def _ended_badly(ended: EndedProcess, bounds: ProcessBounds) -> str:
    """Say why there is no answer, and the way out."""
    limits = f"{bounds.seconds:g} s and {bounds.memory_bytes / 2**30:.3g} GiB of memory"
    if ended.status in _BREAKS:
        return (
            f"the file broke what reads it: {ended.words}. It is damaged, or takes more than "
            f"{limits}: write it again, or send it in another form, such as npz"
        )
    return (
        f"the file could not be read within {limits}: {ended.words}. Send fewer or smaller "
        "examples, or let who runs the service raise the limits of inspections"
    )
