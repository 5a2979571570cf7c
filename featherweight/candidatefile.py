"""A file of candidates for a job: a YAML or JSON list, each with ``params`` or ``steps``."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from featherweight import jobfile
from featherweight.errors import InvalidJobFile
from featherweight.specs.jobs.candidates import CandidateRequest, CandidateRequests


def read(path: Path) -> tuple[CandidateRequest, ...]:
    """Read the file and check it as far as possible without the job. Raises InvalidJobFile."""
    document = jobfile.load(path)
    if not isinstance(document, list):
        raise InvalidJobFile(
            f"{path}: expected a list of candidates, each with params or steps, got "
            f"{type(document).__name__}"
        )
    try:
        return CandidateRequests.model_validate(document).root
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InvalidJobFile("\n  ".join([f"{path}: not valid candidates", *lines])) from error
