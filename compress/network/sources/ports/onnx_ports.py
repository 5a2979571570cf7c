"""How an imported network takes examples and answers, read off its ports. Torch-free.

Legend: N examples, C channels, H height, W width, L length, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from compress.network.graph.values import Graph, GraphPort, Node, Shapes
from compress.network.preprocessing import MOST_CHANNELS
from compress.network.signature import (
    IMAGE_AXES,
    AnswerForm,
    ExampleShape,
    Layout,
    Made,
    answer_form,
    packed_shape,
)
from compress.network.sources.ports import made as rules
from compress.values.errors import InvalidNetwork

_MOST_AXES = 6
_MOST_PORTS = 16
_TAKEN = frozenset({"bool", "float32", "int32", "int64", "int8", "uint8"})
"""Types of an input, once read; one of 16 bits is read as float32."""
_TO_NCHW = (0, 3, 1, 2)
_MERGING = frozenset({"Flatten", "Gemm", "MatMul", "Reshape"})
_POINTWISE = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Sub"})
_DYNAMIC_BATCH = "export it with a dynamic batch (dynamic_axes={'input': {0: 'batch'}})"
BATCHES = (2, 3)
"""The numbers of examples for which answers are looked at."""


@dataclass(frozen=True, kw_only=True)
class ExamplePorts:
    """The inputs and outputs of a network, for examples of ``input_shape``.

    ``parts`` are the shapes of the inputs that take data, those not in ``made``, each without its
    batch and in the order of its file; ``input_shape`` is that of all of them (``packed_shape``),
    of images ``(C, H, W)`` whatever the layout.
    """

    inputs: tuple[GraphPort, ...]
    outputs: tuple[GraphPort, ...]
    parts: tuple[ExampleShape, ...]
    layout: Layout = "NCHW"
    input_shape: ExampleShape
    made: Mapping[str, Made] = field(default_factory=dict[str, Made])

    @property
    def taken(self) -> tuple[GraphPort, ...]:
        """The inputs that take data."""
        return tuple(port for port in self.inputs if port.name not in self.made)

    @property
    def has_one_input(self) -> bool:
        """Whether an example is what the one input takes."""
        return len(self.inputs) == 1

    @property
    def input(self) -> GraphPort:
        """The first input that takes data."""
        return self.taken[0]

    def shape_of(self, port: GraphPort) -> ExampleShape:
        """The axes of one example at an input; what is made has those of the ids."""
        names = [taken.name for taken in self.taken]
        return self.parts[names.index(port.name)] if port.name in names else self.parts[0]

    def sizes(self, examples: int = 1) -> Mapping[str, int]:
        """The size of every axis that the inputs leave open, for so many examples."""
        found: dict[str, int] = {}
        for port in self.inputs:
            named = zip(port.shape, (examples, *self.shape_of(port)), strict=True)
            found |= {axis: size for axis, size in named if isinstance(axis, str)}
        return found


def example_ports(graph: Graph, *, input_shape: ExampleShape | None = None) -> ExamplePorts:
    """Read how the network takes examples, of ``input_shape`` where its file leaves sizes open.

    One input of four axes takes images, or what lies as images do. Raises InvalidNetwork
    naming the port and the way out.
    """
    if not 1 <= len(graph.inputs) <= _MOST_PORTS:
        raise InvalidNetwork(
            f"the network has {len(graph.inputs)} inputs, expected 1 to {_MOST_PORTS}"
        )
    for port in graph.inputs:
        _check_input(port, alone=len(graph.inputs) == 1)
    if len(graph.inputs) > 1:
        return _several(graph, input_shape)
    port = next(iter(graph.inputs))
    rest = port.shape[1:]
    if len(rest) != IMAGE_AXES:
        sizes = _sizes(port, rest, input_shape)
        return ExamplePorts(
            inputs=graph.inputs, outputs=graph.outputs, parts=(sizes,), input_shape=sizes
        )
    return _of_images(graph, port, input_shape)


def _of_images(graph: Graph, port: GraphPort, input_shape: ExampleShape | None) -> ExamplePorts:
    layout, rest = _layout(graph, port), port.shape[1:]
    sizes = _sizes(port, rest if layout == "NCHW" else [rest[2], rest[0], rest[1]], input_shape)
    channels, height, width = sizes
    return ExamplePorts(
        inputs=graph.inputs,
        outputs=graph.outputs,
        parts=(sizes if layout == "NCHW" else (height, width, channels),),
        layout=layout,
        input_shape=sizes,
    )


def _check_input(port: GraphPort, *, alone: bool) -> None:
    """Raise InvalidNetwork unless the port may take a part of any number of examples."""
    least = 2 if alone else 1
    if not least <= len(port.shape) <= 1 + _MOST_AXES or port.dtype not in _TAKEN:
        raise InvalidNetwork(
            f"input {_shown(port)} of {port.dtype}: expected images, (N, C, H, W) or (N, H, W, C), "
            f"or other examples, (N, ...) with {least - 1} to {_MOST_AXES} axes behind the batch, "
            f"of one of {', '.join(sorted(_TAKEN))}"
        )
    if not isinstance(port.shape[0], str):
        raise InvalidNetwork(
            f"input {_shown(port)} takes exactly {port.shape[0]} examples at a time: "
            f"{_DYNAMIC_BATCH}"
        )


def _several(graph: Graph, given: ExampleShape | None) -> ExamplePorts:
    made = rules.made(graph.inputs)
    taken = [port for port in graph.inputs if port.name not in made]
    declared = [port.shape[1:] for port in taken]
    is_open = any(isinstance(axis, str) for shape in declared for axis in shape)
    parts = _open_parts(taken, given) if is_open else [_numbers(shape) for shape in declared]
    shape = packed_shape(parts)
    if given is not None and given != shape:
        raise InvalidNetwork(
            f"the inputs {_listed(taken)} do not take examples of input_shape {given}: together "
            f"they take {shape}, so leave input_shape out where the file says it"
        )
    _check_made(graph.inputs, made, parts)
    return ExamplePorts(
        inputs=graph.inputs,
        outputs=graph.outputs,
        parts=tuple(parts),
        input_shape=shape,
        made=made,
    )


def _open_parts(taken: Sequence[GraphPort], given: ExampleShape | None) -> list[ExampleShape]:
    """Sequences of one length, which is given. Raises InvalidNetwork for other open sizes."""
    expected = f"(L,) with the length L of the {_listed(taken)}"
    if len(taken) > 1:
        expected = f"({len(taken)}, L) with the length L that {_listed(taken)} have in the data"
    if any(len(port.shape) != 2 for port in taken):
        raise InvalidNetwork(
            f"inputs {_listed(taken)}: of several inputs only the lengths of sequences, (N, L), "
            "may be open: export the network for examples of one size"
        )
    rank = 1 if len(taken) == 1 else 2
    if given is None or len(given) != rank or (rank > 1 and given[0] != len(taken)):
        raise InvalidNetwork(
            f"inputs {_listed(taken)} leave the length of sequences open: upload the network with "
            f"input_shape {expected}"
        )
    length = given[-1]
    for port in taken:
        _sizes(port, port.shape[1:], (length,))
    return [(length,)] * len(taken)


def _numbers(shape: Sequence[int | str]) -> ExampleShape:
    return tuple(int(axis) for axis in shape)


def _check_made(
    inputs: Sequence[GraphPort], made: Mapping[str, Made], parts: Sequence[ExampleShape]
) -> None:
    """Raise InvalidNetwork unless whatever is made of ids has room for each of them."""
    for port in inputs:
        if port.name in made:
            _sizes(port, port.shape[1:], parts[0])


@dataclass(frozen=True, kw_only=True)
class AnswerPorts:
    """What the network answers: in which form, and how many numbers along its last axis."""

    form: AnswerForm
    width: int


def answer(ports: ExamplePorts, shapes: Sequence[Shapes]) -> AnswerPorts:
    """Read what the network answers to examples of the size of ``ports``.

    ``shapes`` are those of all its tensors for each number in ``BATCHES``. Raises InvalidNetwork
    naming an output that does not have one answer for each example.
    """
    one, other = shapes
    for port in ports.outputs:
        _check_output(port, one, other)
    if not any(port.dtype.startswith("float") for port in ports.outputs):
        raise InvalidNetwork(
            f"the outputs {_listed(ports.outputs)} are whole numbers, from which nothing can be "
            "learned: export the network up to its scores"
        )
    found = [one[port.name] for port in ports.outputs]
    form = answer_form([len(shape) for shape in found])
    if form == "packed":
        return AnswerPorts(form=form, width=sum(prod(shape[1:]) for shape in found))
    [shape] = found
    return AnswerPorts(form=form, width=shape[-1] if len(shape) > 1 else 1)


def _check_output(port: GraphPort, one: Shapes, other: Shapes) -> None:
    found = (one.get(port.name), other.get(port.name))
    first = tuple(shape[0] if shape else None for shape in found)
    if first != BATCHES:
        said = "unknown" if found[0] is None else f"{found[0]} for {BATCHES[0]} examples"
        raise InvalidNetwork(
            f"output {_shown(port)} has shape {said}: expected one answer for each example along "
            "its first axis, (N, ...); export the network without what joins or picks examples"
        )
    assert found[0] is not None
    if 0 in found[0]:
        raise InvalidNetwork(f"output {_shown(port)} has no numbers in it: {found[0]}")


def _sizes(
    port: GraphPort, declared: Sequence[int | str], given: ExampleShape | None
) -> ExampleShape:
    """The size of every axis, each declared by the file or given."""
    if given is None:
        if not all(isinstance(size, int) for size in declared):
            raise InvalidNetwork(
                f"input {_shown(port)} leaves the size of its examples open: upload it with an "
                "input_shape (of images: channels, height and width), or export it for one size"
            )
        given = tuple(int(size) for size in declared)
    fits = len(declared) == len(given) and all(
        isinstance(one, str) or one == two for one, two in zip(declared, given, strict=True)
    )
    if not fits:
        raise InvalidNetwork(
            f"input {_shown(port)} does not take examples of input_shape {given} (of images: "
            "channels, height, width): leave input_shape out where the file says it"
        )
    return given


def _layout(graph: Graph, port: GraphPort) -> Layout:
    """NHWC if the images are transposed before anything looks at their neighbourhoods.

    Convolutions of ONNX take NCHW. A network that has none before its axes are merged is NHWC if
    only its last axis can be that of channels.
    """
    readers: Mapping[str, list[Node]] = _readers(graph)
    tensor = port.name
    while len(found := readers.get(tensor, [])) == 1:
        if found[0].op == "Transpose":
            return "NHWC" if found[0].attributes.get("perm") == _TO_NCHW else "NCHW"
        if found[0].op not in _POINTWISE | _MERGING:
            return "NCHW"
        if found[0].op in _MERGING:
            break
        tensor = found[0].output
    _, second, _, last = port.shape
    is_last = isinstance(last, int) and last <= MOST_CHANNELS
    return (
        "NHWC" if is_last and not (isinstance(second, int) and second <= MOST_CHANNELS) else "NCHW"
    )


def _readers(graph: Graph) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def _listed(ports: Sequence[GraphPort]) -> str:
    return ", ".join(repr(port.name[:80]) for port in ports[:8])


def _shown(port: GraphPort) -> str:
    return f"{port.name[:80]!r} {port.shape}"
