"""A sheet of a stored dataset's images, drawn in a child process of bounded memory and time."""

from __future__ import annotations

import logging

from compress.values.errors import InvalidData
from featherweight.system import bounded
from featherweight.system.bounded import GivenUp, ProcessBounds
from service.resources import Resources
from service.shared.looks import Look
from store.errors import ArtifactNotFound

_MODULE = "compress.tasks.conversion.preview"
_MOST_BYTES = 8 * 2**20
_LONGEST_SECONDS = 60.0
_log = logging.getLogger(__name__)


def draw(resources: Resources, sha256: str, look: Look) -> bytes:
    """Return a png of the dataset with this digest.

    Raises InvalidData if it cannot be drawn within the bounds, ArtifactNotFound if the file is
    gone, or nobody waits for the sheet.
    """
    settings = resources.settings
    bounds = ProcessBounds(
        memory_bytes=settings.inspection_memory_bytes,
        seconds=min(_LONGEST_SECONDS, settings.inspection_seconds),
        answer_bytes=_MOST_BYTES,
    )
    path, command = resources.files.path(sha256), [_MODULE, str(bounds.seconds)]
    try:
        ended = bounded.run(command, path, bounds, is_wanted=lambda: look.is_wanted)
    except GivenUp as error:
        raise ArtifactNotFound("nobody waits for the sheet any more") from error
    if words := ended.words:
        _log.warning("a sheet could not be drawn: %s\n%s", words, ended.error)
        raise InvalidData(f"no sheet of the dataset could be drawn: {words}")
    return ended.answer
