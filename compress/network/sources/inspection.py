"""What an uploaded weights file holds, and whether it may be used. Torch-free.

Files come from strangers: everything is checked against limits before it is believed, and nothing
in a file is ever executed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from compress.network.families import layout, outlining
from compress.network.families.catalog import Architecture, plan_of
from compress.network.sources import names_in_file, safetensors_header, weight_values
from compress.network.sources.names_in_file import KnownNames
from compress.network.sources.safetensors_header import TensorHeader
from compress.values.errors import InvalidWeights
from compress.values.file_formats import answers
from compress.values.measurement import MAX_CLASSES
from compress.values.shown import some


class ModelInfo(BaseModel, frozen=True, extra="forbid"):
    """A network of a family; ``macs`` are for one image, None while the image size is unknown."""

    architecture: Architecture
    in_channels: int
    num_classes: int
    input_shape: tuple[int, int, int] | None = None
    parameters: int
    macs: int | None = None
    layers: tuple[layout.Layer, ...]
    notes: tuple[str, ...] = ()


def inspect_weights(
    path: Path, architecture: Architecture, *, input_shape: tuple[int, int, int] | None = None
) -> ModelInfo:
    """Check a safetensors file against its family, and every weight once.

    Channels and classes follow from the first and the last layer. Raises InvalidWeights naming
    the tensors that are missing, unknown or of another shape, or whose values are not finite.
    """
    wrong = answers.wrong_kind(path, "weights")
    if wrong is not None:
        raise InvalidWeights(wrong)
    tensors = safetensors_header.read(path)
    in_channels, num_classes = match_tensors(tensors, architecture)
    weight_values.check(path, tensors)
    if input_shape is not None and input_shape[0] != in_channels:
        raise InvalidWeights(f"the network takes {in_channels} channels, images have {input_shape}")
    image = input_shape[1:] if input_shape else None
    rows = layout.layers(
        architecture, in_channels=in_channels, num_classes=num_classes, image=image
    )
    return ModelInfo(
        architecture=architecture,
        in_channels=in_channels,
        num_classes=num_classes,
        input_shape=input_shape,
        parameters=sum(row.parameters for row in rows),
        macs=sum(row.macs or 0 for row in rows) if image else None,
        layers=_with_reach(rows, architecture, in_channels=in_channels, num_classes=num_classes),
        notes=_notes(names_in_file.wrappers(tensors, family_names(architecture))),
    )


def _notes(wrappers: tuple[str, ...]) -> tuple[str, ...]:
    if not wrappers:
        return ()
    said = "".join(wrappers)
    return (
        f"all tensors are named {said!r} and then as the family names them, as modules within "
        "modules are saved: that beginning is left out",
    )


def _with_reach(
    rows: Sequence[layout.Layer], architecture: Architecture, *, in_channels: int, num_classes: int
) -> tuple[layout.Layer, ...]:
    """Return the layers with what pruning can do with them."""
    losing = outlining.narrowed(architecture, in_channels=in_channels, num_classes=num_classes)
    if losing is None:
        return tuple(rows)
    return tuple(row.model_copy(update={"loses_channels": row.name in losing}) for row in rows)


def match_tensors(
    tensors: Mapping[str, TensorHeader], architecture: Architecture
) -> tuple[int, int]:
    """``(in_channels, num_classes)`` of tensors that fit the architecture; else InvalidWeights."""
    names = own_names(tensors, architecture)
    weights = {
        names[name]: tensor
        for name, tensor in tensors.items()
        if not name.endswith(".num_batches_tracked")
    }
    integers = [name for name, tensor in weights.items() if tensor.dtype == "I64"]
    if integers:
        raise InvalidWeights(f"weights must be F32, F16 or BF16, got I64 in {some(integers)}")
    drawn = plan_of(architecture, in_channels=1, num_classes=2)
    in_channels = _dimension(weights, f"{drawn.layers[0].name}.weight", rank=4, axis=1)
    num_classes = _dimension(weights, f"{drawn.layers[-1].name}.weight", rank=2, axis=0)
    expected = layout.tensor_shapes(architecture, in_channels=in_channels, num_classes=num_classes)
    shapes = {name: _own_shape(t.shape, expected.get(name)) for name, t in weights.items()}
    _check_shapes(shapes, expected)
    return in_channels, num_classes


def own_names(names: Collection[str], architecture: Architecture) -> dict[str, str]:
    """What the family calls the tensors of a file.

    The file may follow another published layout, and what wrapped the network when it was saved may
    have put a word before every name.
    """
    known = family_names(architecture)
    wrapper = "".join(names_in_file.wrappers(names, known))
    bare = {name: name.removeprefix(wrapper) for name in names}
    drawn = plan_of(architecture, in_channels=1, num_classes=2)
    own = {alias: name for name, alias in drawn.aliases.items()}
    first = f"{drawn.layers[0].name}.weight"
    if not own or first in bare.values():
        return bare
    parts = {name: short.rpartition(".") for name, short in bare.items()}
    return {name: f"{own.get(prefix, prefix)}.{last}" for name, (prefix, _, last) in parts.items()}


def family_names(architecture: Architecture) -> KnownNames:
    """The names of a family's tensors, in each published layout."""
    own = frozenset(layout.tensor_shapes(architecture, in_channels=1, num_classes=2))
    drawn = plan_of(architecture, in_channels=1, num_classes=2)
    parts = {name: name.rpartition(".") for name in own}
    aliased = {f"{drawn.aliases.get(p, p)}.{last}" for p, _, last in parts.values()}
    return KnownNames((own, frozenset(aliased)))


def _own_shape(shape: tuple[int, ...], expected: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape itself; where a linear layer is expected, a 1x1 convolution is one."""
    is_linear = expected is not None and len(expected) == 2 and shape[2:] == (1, 1)
    return shape[:2] if is_linear else shape


def _dimension(tensors: Mapping[str, TensorHeader], name: str, *, rank: int, axis: int) -> int:
    shape = tensors[name].shape if name in tensors else None
    if shape is None or len(shape) != rank or not 1 <= shape[axis] <= MAX_CLASSES:
        raise InvalidWeights(f"expected a tensor {name!r} with {rank} dimensions, got {shape}")
    return shape[axis]


def _check_shapes(
    shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]
) -> None:
    missing = sorted(set(expected) - set(shapes))
    unknown = sorted(set(shapes) - set(expected))
    wrong = [
        f"{name} is {shapes[name]}, expected {expected[name]}"
        for name in expected
        if name in shapes and shapes[name] != expected[name]
    ]
    problems = {"missing": missing, "unknown": unknown, "of another shape": wrong}
    text = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
    if text:
        raise InvalidWeights(f"the tensors do not fit the architecture: {text}")
