"""Path, query and header parameters that several endpoints share."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Header, Path, Query

from featherweight.specs.names import JobName, Tag
from featherweight.specs.protocol import FENCE_HEADER
from store.paging import MAX_CURSOR_CHARACTERS, MAX_LIMIT

_ID = r"^[0-9a-zA-Z-]{1,36}$"
_REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
MAX_NUMBER = 2**31 - 1
_SHA256 = r"^[0-9a-f]{64}$"

JobId = Annotated[str, Path(max_length=36, pattern=_ID, description="Id of a job.")]
OtherJob = Annotated[
    str, Query(alias="with", max_length=36, pattern=_ID, description="Id of the other job.")
]
TrialId = Annotated[str, Path(max_length=36, pattern=_ID, description="Id of a trial.")]
ArtifactId = Annotated[
    str, Path(max_length=36, pattern=_ID, description="Id of a file of a trial.")
]
AttemptId = Annotated[str, Path(max_length=36, pattern=_ID, description="Id of an attempt.")]
MeasurementId = Annotated[
    str, Path(max_length=36, pattern=_ID, description="Id of a measurement of a meter.")
]
UploadId = Annotated[str, Path(max_length=36, pattern=_ID, description="Id of an upload.")]
TokenId = Annotated[str, Path(max_length=36, pattern=_ID, description="Id of a token.")]
Reference = Annotated[str, Path(max_length=100, pattern=_REFERENCE, description="Id or name.")]
Digest = Annotated[str, Path(max_length=64, pattern=_SHA256, description="SHA-256 in hex.")]
JobTitle = Annotated[JobName | None, Query(description="Only jobs of this name.")]
JobTag = Annotated[Tag | None, Query(description="Only jobs with this tag.")]
IdPrefix = Annotated[
    str | None,
    Query(
        max_length=36,
        pattern=r"^[0-9a-f][0-9a-f-]{0,35}$",
        description="Only jobs whose id begins so.",
    ),
]
TrialNumber = Annotated[
    int | None, Query(ge=0, le=MAX_NUMBER, description="Only the trial of this number.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most entries of the page.")]
Cursor = Annotated[
    str | None,
    Query(
        max_length=MAX_CURSOR_CHARACTERS,
        pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_CURSOR_CHARACTERS}}}$",
        description="What the page before answered.",
    ),
]
TargetName = Annotated[
    str | None,
    Query(
        max_length=40,
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Name of a target whose form the file shall have; left out: as it was made.",
    ),
]
LanguageName = Annotated[
    Literal["python", "javascript", "cpp", "java"], Path(description="Language of the program.")
]
WithMetadata = Annotated[
    bool,
    Query(
        alias="metadata",
        description="Whether the file shall say in its metadata what its card says.",
    ),
]
Fence = Annotated[
    str,
    Header(
        alias=FENCE_HEADER,
        max_length=200,
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The secret that came with the attempt.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Repeats with the same key and body get the same job.",
    ),
]
