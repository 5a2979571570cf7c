"""The file that a program is written for: its ports, layout, sizes and classes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from compress.network.signature import Layout
from compress.values.file_formats.onnx_header import HeaderPort, OnnxHeader
from featherweight.cards.escaping import visible
from featherweight.errors import NoSnippet

CLASS_NAMES = "featherweight.class_names"
INPUT = "featherweight.input"
MOST_NAMES = 1000
_MOST_CHANNELS = 16
_LONGEST_PORT = 500
_LONGEST_NAME = 100
_MOST_VALUES = 2**26


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An image classifier as its file says it.

    ``shape`` is in the file's order, the batch first: 1 where a file takes any number. ``classes``
    is empty without names; ``value_range`` is None where it is not known. ``num_classes`` is None
    if the answer is no list of scores.
    """

    input: str
    dtype: str
    layout: Layout
    shape: tuple[int, int, int, int]
    output: str
    output_dtype: str
    num_classes: int | None
    classes: tuple[str, ...] = field(default=())
    value_range: tuple[float, float] | None = None
    softmax: bool = False

    @property
    def image(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        _, *axes = self.shape
        channels, height, width = axes if self.layout == "NCHW" else (axes[2], axes[0], axes[1])
        return channels, height, width


def of(
    header: OnnxHeader,
    *,
    layout: Layout | None = None,
    classes: tuple[str, ...] = (),
    value_range: tuple[float, float] | None = None,
) -> Subject:
    """Describe a file by its header; what is given here counts where the file says nothing.

    Without any word on the layout the shorter of both possible axes is that of channels. Raises
    NoSnippet for a file that does not take images of one size.
    """
    if len(header.inputs) != 1:
        raise NoSnippet(f"expected a file with one input, this has {len(header.inputs)}")
    said = _json(header.metadata.get(INPUT), dict)
    [port], answer = header.inputs, header.outputs[0]
    shape = _sizes(port)
    return Subject(
        input=_name(port),
        dtype=port.dtype,
        layout=layout or _said_layout(said) or _guessed(shape),
        shape=shape,
        output=_name(answer),
        output_dtype=answer.dtype,
        num_classes=_num_classes(answer),
        classes=_names(header, answer, classes),
        value_range=value_range or _range(said.get("range")),
        softmax=header.made_by.get(answer.name) == "Softmax",
    )


def class_names(header: OnnxHeader) -> tuple[str, ...]:
    """Return the names that the file gives its classes; empty if it gives none."""
    found = _json(header.metadata.get(CLASS_NAMES), list)
    return tuple(found) if all(isinstance(name, str) for name in found) else ()


def _sizes(port: HeaderPort) -> tuple[int, int, int, int]:
    match port.shape:
        case (batch, int() as first, int() as second, int() as third):
            found = (batch if isinstance(batch, int) else 1, first, second, third)
        case _:
            raise NoSnippet(
                f"expected an input of four axes, all but the first of one size, got "
                f"({', '.join(visible(str(axis), most=40) for axis in port.shape[:8])})"
            )
    count = found[0] * found[1] * found[2] * found[3]
    if min(found) < 1 or count > _MOST_VALUES:
        raise NoSnippet(f"expected an input of 1 to {_MOST_VALUES:,} values, got {found}")
    return found


def _name(port: HeaderPort) -> str:
    if not port.name or len(port.name) > _LONGEST_PORT:
        raise NoSnippet(f"expected names of ports of 1 to {_LONGEST_PORT} characters")
    return port.name


def _guessed(shape: tuple[int, int, int, int]) -> Layout:
    _, first, _, last = shape
    if first == last or min(first, last) > _MOST_CHANNELS:
        raise NoSnippet(
            f"an input of shape {shape} can be read in both orders: say NCHW or NHWC as the layout"
        )
    return "NCHW" if first < last else "NHWC"


def _said_layout(said: dict[str, Any]) -> Layout | None:
    found = said.get("layout")
    return found if found in ("NCHW", "NHWC") else None


def _num_classes(answer: HeaderPort) -> int | None:
    match answer.shape:
        case (_, int() as classes) if classes > 1:
            return classes
        case _:
            return None


def _names(header: OnnxHeader, answer: HeaderPort, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return one name a class, made visible; none if there are too many or they do not fit."""
    found = class_names(header) or given
    is_fit = len(found) == _num_classes(answer) and len(found) <= MOST_NAMES
    if not is_fit or any(len(name) > _LONGEST_NAME for name in found):
        return ()
    return tuple(visible(name) for name in found)


def _range(found: Any) -> tuple[float, float] | None:
    match found:
        case [int() | float() as low, int() | float() as high] if low < high:
            return float(low), float(high)
        case _:
            return None


def _json(text: str | None, kind: type[Any]) -> Any:
    """Return a document of that kind; an empty one for anything else."""
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, kind) else kind()
