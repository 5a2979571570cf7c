"""Format uploaded networks as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape

from compress.network.families.layout import Layer
from compress.network.outline import LayerInfo
from compress.network.signature import IMAGE_AXES
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.onnx_info import OnnxInfo, OnnxPort
from compress.techniques.reach import TechniqueReach
from featherweight.cli.output import table
from featherweight.specs.schemas import ModelSchema


def model(found: ModelSchema) -> RenderableType:
    """Return what a model takes and answers, and its layers one by one."""
    said = f"model {found.name} ({found.format}, {found.size_bytes:,} bytes): {found.state}"
    lines = [escape(said), *(escape(f"refused: {reason}") for reason in found.reasons)]
    match found.info:
        case OnnxInfo():
            return Group(*lines, *_of_file(found.info), _reaches(found.techniques))
        case ModelInfo():
            return Group(*lines, *_of_family(found.info), _reaches(found.techniques))
        case None:
            return Group(*lines)


def _reaches(found: Sequence[TechniqueReach]) -> RenderableType:
    """Return what each technique can do, and what it leaves alone and why."""
    rows = [
        (one.technique, str(one.layers), f"{one.parameters:.1%}", escape(_left(one)))
        for one in found
    ]
    return table(["technique", ">layers", ">parameters", "leaves alone"], rows)


def _left(one: TechniqueReach) -> str:
    return ": ".join(part for part in (one.reason, ", ".join(one.left)) if part)


def _of_file(info: OnnxInfo) -> list[RenderableType]:
    size = "x".join(map(str, info.input_shape))
    is_image = len(info.input_shape) == IMAGE_AXES
    takes = (
        f"images {size} (channels, height, width; as {info.layout})"
        if is_image
        else f"examples {size}"
    )
    operators = ", ".join(f"{count} {name}" for name, count in sorted(info.operators.items()))
    lines = [
        *(f"input {_port(port)}" for port in info.inputs),
        *(f"output {_port(port)}" for port in info.outputs),
        f"{takes}, {_answers(info)}",
        _costs(info.parameters, info.macs),
        f"operators: {operators}",
        *(f"warning: {warning}" for warning in info.warnings),
        *(f"note: {note}" for note in info.notes),
    ]
    return [*map(escape, lines), _layers([_row(layer) for layer in info.layers])]


def _answers(info: OnnxInfo) -> str:
    match info.answer:
        case "rows":
            return f"{info.num_classes} classes" if info.num_classes > 1 else "one number"
        case "sequence":
            return f"{info.num_classes} tags for each place of a sequence"
        case "packed":
            return f"{info.num_classes:,} numbers in {len(info.outputs)} outputs"


def _of_family(info: ModelInfo) -> list[RenderableType]:
    lines = [
        f"a network of the family {info.architecture.family}, channels of an image: "
        f"{info.in_channels}, classes: {info.num_classes}",
        _costs(info.parameters, info.macs),
        *(f"note: {note}" for note in info.notes),
    ]
    return [*map(escape, lines), _layers([_row(layer) for layer in info.layers])]


def _costs(parameters: int, macs: int | None) -> str:
    known = "" if macs is None else f", {macs:,} multiply-accumulates for one example"
    return f"{parameters:,} parameters{known}"


def _layers(rows: Sequence[tuple[str, ...]]) -> RenderableType:
    return table(["layer", "kind", "weight", ">parameters", ">MACs"], rows)


def _row(layer: LayerInfo | Layer) -> tuple[str, ...]:
    shape = layer.weight_shape if isinstance(layer, LayerInfo) else layer.shape
    macs = "-" if layer.macs is None else f"{layer.macs:,}"
    return escape(layer.name), layer.kind, "x".join(map(str, shape)), f"{layer.parameters:,}", macs


def _port(port: OnnxPort) -> str:
    return f"{port.name}: {port.dtype} ({', '.join(map(str, port.shape))})"
