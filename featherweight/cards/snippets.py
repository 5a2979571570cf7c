"""Programs that run one file in ONNX Runtime, written for its ports, sizes and classes.

A program takes the path of the file and, if there is one, of values: float32, little-endian, in the
order of the file's axes. It prints the five best classes, a line each: score, tab, name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from featherweight.cards import escaping, text_subject
from featherweight.cards.subject import Subject
from featherweight.cards.text_subject import TextSubject
from featherweight.errors import NoSnippet

_TEMPLATES = Path(__file__).parent / "templates"
_INDENT = "\n    "


@dataclass(frozen=True, kw_only=True)
class Language:
    """How a program of a language is called, and how it says texts and types.

    ``inputs`` and ``outputs`` map types of tensors to what fills the template for them.
    """

    name: str
    filename: str
    literal: Callable[[str], str]
    booleans: tuple[str, str]
    inputs: Mapping[str, Mapping[str, str]]
    outputs: Mapping[str, Mapping[str, str]]


_NUMPY = ("float32", "float64", "float16", "uint8", "int8", "int16", "int32", "int64")
PYTHON = Language(
    name="python",
    filename="run.py",
    literal=escaping.python_literal,
    booleans=("False", "True"),
    inputs={name: {"value": f"np.{name}"} for name in _NUMPY} | {"bool": {"value": "np.bool_"}},
    outputs={name: {} for name in (*_NUMPY, "bool")},
)
_ARRAYS = {
    "float32": "Float32Array.from(values)",
    "float64": "Float64Array.from(values)",
    "uint8": "Uint8Array.from(values)",
    "int8": "Int8Array.from(values)",
    "int16": "Int16Array.from(values)",
    "int32": "Int32Array.from(values)",
    "int64": "BigInt64Array.from(values, (value) => BigInt(Math.trunc(value)))",
}
JAVASCRIPT = Language(
    name="javascript",
    filename="run.mjs",
    literal=escaping.javascript_literal,
    booleans=("false", "true"),
    inputs={name: {"value": value} for name, value in _ARRAYS.items()},
    outputs={"float32": {}, "float64": {}},
)
_CPP = {"float32": "float", "float64": "double"}
_CPP_INTEGERS = {name: f"std::{name}_t" for name in ("uint8", "int8", "int16", "int32", "int64")}
CPP = Language(
    name="cpp",
    filename="run.cpp",
    literal=escaping.cpp_literal,
    booleans=("false", "true"),
    inputs={name: {"value": value} for name, value in (_CPP | _CPP_INTEGERS).items()},
    outputs={name: {"score": value} for name, value in _CPP.items()},
)


def _java(size: int, *, buffer: str, cast: str = "", kind: str = "") -> dict[str, str]:
    """Fill in Java's names: bytes of a value, its buffer, a cast of floats, the tensor's type."""
    return {
        "width_bytes": str(size),
        "value": "bytes" if buffer == "Byte" else f"bytes.as{buffer}Buffer()",
        "cast": cast,
        "tensor": f"OnnxTensor.createTensor(environment, data, SHAPE{kind})",
    }


JAVA = Language(
    name="java",
    filename="Run.java",
    literal=escaping.java_literal,
    booleans=("false", "true"),
    inputs={
        "float32": _java(4, buffer="Float"),
        "float64": _java(8, buffer="Double"),
        "uint8": _java(1, buffer="Byte", cast="(byte) ", kind=", OnnxJavaType.UINT8"),
        "int8": _java(1, buffer="Byte", cast="(byte) ", kind=", OnnxJavaType.INT8"),
        "int16": _java(2, buffer="Short", cast="(short) "),
        "int32": _java(4, buffer="Int", cast="(int) "),
        "int64": _java(8, buffer="Long", cast="(long) "),
    },
    outputs={"float32": {"score": "Float"}, "float64": {"score": "Double"}},
)
LANGUAGES: Mapping[str, Language] = {
    language.name: language for language in (PYTHON, JAVASCRIPT, CPP, JAVA)
}


def write(subject: Subject | TextSubject, language: str) -> str:
    """Return a program for the file. Raises NoSnippet for a type that the language lacks."""
    if language not in LANGUAGES:
        known = ", ".join(LANGUAGES)
        raise NoSnippet(f"no snippet is written in {language[:40]!r}; expected one of {known}")
    if isinstance(subject, TextSubject):
        return text_subject.write(subject, language)
    chosen = LANGUAGES[language]
    if subject.dtype not in chosen.inputs or subject.output_dtype not in chosen.outputs:
        raise NoSnippet(
            f"no snippet in {language} takes {subject.dtype} and answers {subject.output_dtype}: "
            "take python"
        )
    template = Template((_TEMPLATES / f"{chosen.filename}.txt").read_text(encoding="utf-8"))
    return template.substitute(_filled(subject, chosen))


def _filled(subject: Subject, language: Language) -> dict[str, str]:
    channels, height, width = subject.image
    low, high = subject.value_range or (0.0, 255.0)
    return {
        "input": language.literal(subject.input),
        "output": language.literal(subject.output),
        "layout": subject.layout,
        "batch": str(subject.shape[0]),
        "channels": str(channels),
        "height": str(height),
        "width": str(width),
        "low": repr(float(low)),
        "high": repr(float(high)),
        "range_words": _range_words(subject),
        "scores": "probabilities" if subject.softmax else "scores (logits)",
        "classes": _classes(subject, language),
        "ranks": language.booleans[subject.num_classes is not None],
        "kind": subject.dtype,
        **language.inputs[subject.dtype],
        **language.outputs[subject.output_dtype],
    }


def _range_words(subject: Subject) -> str:
    if subject.value_range is None:
        return "0 to 255, as of pictures: the file does not say its own"
    low, high = subject.value_range
    return f"{low:g} to {high:g}, as of the data that it was made with"


def _classes(subject: Subject, language: Language) -> str:
    literals = [language.literal(name) for name in subject.classes]
    return "".join(f"{_INDENT}{literal}," for literal in literals) + ("\n" if literals else "")
