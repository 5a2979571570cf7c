"""Names that downloaded files get."""

from __future__ import annotations

from urllib.parse import quote

from featherweight.specs.schemas import FrontPoint


def of_form(file: FrontPoint | str, target: str | None = None, *, metadata: bool = False) -> str:
    """Return the name of a file of a front, or of an artifact by id, in a target's form."""
    stem = file if isinstance(file, str) else f"trial-{file.number:03d}-{file.sha256[:12]}"
    marks = [quote(target, safe="")] if target is not None else []
    marks += ["metadata"] if metadata else []
    return ".".join([stem, *marks, "onnx"])
