"""Names and ids, as users write them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

Name = Annotated[
    str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
]
Reference = Annotated[
    str,
    StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"),
    Field(description="Id or name of something uploaded before."),
]
JobReference = Annotated[str, StringConstraints(max_length=36, pattern=r"^[0-9a-zA-Z-]{1,36}$")]
