"""Names and ids, as users write them."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

_MOST = 100
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_WORDS = (
    "{given} is no name: expected at most 100 of the letters a to z and A to Z, digits, '.', '_' "
    "and '-', beginning with a letter or digit{better}"
)


def _check_name(given: object) -> object:
    """Refuse a text that is no name, with one like it that is."""
    if isinstance(given, str) and not re.fullmatch(_NAME, given):
        near = re.sub(r"[^A-Za-z0-9._-]+", "-", given[:_MOST]).strip("-._")
        better = f", for example {near!r}" if near else ""
        told = given if len(given) <= _MOST else f"{given[:_MOST]}..."
        raise PydanticCustomError("name", _WORDS, {"given": repr(told), "better": better})
    return given


_MOST_SENT = 4 * _MOST
"""Characters that are looked at: NFC makes one of at most three or four."""
UNPRINTABLE = (
    r"\x00-\x1f\x7f-\x9f\xa0\xad\u061c\u1680\u180e\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f"
    r"\u3000\ufeff\ufff9-\uffff"
)
"""Part of a character class: control characters, marks of direction, and spaces other than U+0020.

Joiners (U+200C and U+200D) are letters' business in many scripts, and may stand in a name.
"""
_TITLE = rf"^[^\s/\\.\-{UNPRINTABLE}]([^/\\{UNPRINTABLE}]{{0,{_MOST - 2}}}[^\s/\\{UNPRINTABLE}])?$"
_TITLE_WORDS = (
    "{given} is no name of a job: expected at most 100 letters, digits, spaces and signs of any "
    "script, without line breaks, control characters, '/' and '\\', and not beginning with '-' "
    "or '.'{better}"
)


def _check_title(given: object) -> object:
    """Return a name in NFC, without spaces at its ends; refuse what is none, with one like it."""
    if not isinstance(given, str):
        return given
    composed = unicodedata.normalize("NFC", given[:_MOST_SENT]).strip(" ")
    if len(given) <= _MOST_SENT and re.fullmatch(_TITLE, composed):
        return composed
    near = " ".join(re.sub(rf"[/\\{UNPRINTABLE}]+", " ", composed).split())[:_MOST]
    near = near.lstrip("-. ").rstrip()
    better = f", for example {near!r}" if near else ""
    told = given if len(given) <= _MOST else f"{given[:_MOST]}..."
    raise PydanticCustomError("name", _TITLE_WORDS, {"given": repr(told), "better": better})


JobName = Annotated[
    str,
    StringConstraints(max_length=_MOST, pattern=_TITLE),
    BeforeValidator(_check_title),
]
"""The name of a job, in any script and with spaces, in Unicode's normal form C."""
Tag = Annotated[JobName, StringConstraints(max_length=50)]
"""A word by which jobs are found, of the same characters as the name of a job."""
Name = Annotated[
    str, StringConstraints(max_length=_MOST, pattern=_NAME), BeforeValidator(_check_name)
]
Reference = Annotated[
    str,
    StringConstraints(max_length=_MOST, pattern=_NAME),
    Field(description="Id or name of something uploaded before."),
]
JobReference = Annotated[str, StringConstraints(max_length=36, pattern=r"^[0-9a-zA-Z-]{1,36}$")]
