"""A file that takes texts, and the program that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import Template

from compress.tasks.formats.words import TextSettings
from compress.values.file_formats.onnx_header import OnnxHeader
from featherweight.cards.escaping import python_literal
from featherweight.cards.subject import MOST_NAMES
from featherweight.errors import NoSnippet

_TEMPLATE = Path(__file__).parent / "templates" / "run_text.py.txt"
_TYPES = frozenset({"float32", "int32", "int64"})
_MOST_INPUTS = 8
_TAGGED_AXES = 3
_USAGE = {
    "text": "TEXT is a sentence; of pairs give both.",
    "words": "TEXT is a sentence whose words are separated by blanks.",
    "parts": "TEXT is a sentence whose words are separated by blanks.",
    "tokenizer": "TEXT is a sentence; of pairs give both.",
}


@dataclass(frozen=True, kw_only=True)
class TextSubject:
    """A network of texts as its file says it: name, type and length of each input.

    The length is None where the file takes any.
    """

    inputs: tuple[tuple[str, str, int | None], ...]
    output: str
    is_tagger: bool
    classes: tuple[str, ...]
    settings: TextSettings


def of(header: OnnxHeader, settings: TextSettings, classes: tuple[str, ...]) -> TextSubject:
    """Describe a file by its header. Raises NoSnippet for one that takes no ids."""
    ports = header.inputs
    if not 1 <= len(ports) <= _MOST_INPUTS or any(port.dtype not in _TYPES for port in ports):
        raise NoSnippet(
            f"expected 1 to {_MOST_INPUTS} inputs of ids, got {[port.dtype for port in ports][:9]}"
        )
    answer = header.outputs[0]
    lengths = [port.shape[-1] if port.shape else None for port in ports]
    return TextSubject(
        inputs=tuple(
            (port.name, port.dtype, length if isinstance(length, int) else None)
            for port, length in zip(ports, lengths, strict=True)
        ),
        output=answer.name,
        is_tagger=len(answer.shape) == _TAGGED_AXES,
        classes=classes if len(classes) <= MOST_NAMES else (),
        settings=settings,
    )


def write(subject: TextSubject, language: str) -> str:
    """Return a program for the file. Raises NoSnippet for another language than Python."""
    if language != "python":
        raise NoSnippet(f"no snippet in {language[:40]} cuts texts into words: take python")
    inputs = ", ".join(
        f"({python_literal(name)}, {python_literal(dtype)}, {length})"
        for name, dtype, length in subject.inputs
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        usage=_USAGE[subject.settings.cut],
        inputs=inputs,
        output=python_literal(subject.output),
        classes=", ".join(map(python_literal, subject.classes)),
        tagger=str(subject.is_tagger),
    )
