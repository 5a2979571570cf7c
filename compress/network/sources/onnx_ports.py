"""How an imported network takes examples and answers, read off its ports. Torch-free.

Legend: N examples, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.network.graph.values import Graph, GraphPort, Node
from compress.network.signature import IMAGE_AXES, ExampleShape, Layout
from compress.values.errors import InvalidNetwork
from compress.values.measurement import MAX_CLASSES

_MOST_CHANNELS = 16
_MOST_AXES = 6
_TAKEN = frozenset({"float32", "int32", "int64", "uint8"})
"""Types of an input, once read; one of 16 bits is read as float32."""
_TO_NCHW = (0, 3, 1, 2)
_MERGING = frozenset({"Flatten", "Gemm", "MatMul", "Reshape"})
_POINTWISE = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Sub"})
_DYNAMIC_BATCH = "export it with a dynamic batch (dynamic_axes={'input': {0: 'batch'}})"


@dataclass(frozen=True, kw_only=True)
class ExamplePorts:
    """One input of examples of ``input_shape``, and one output of logits ``(N, K)``.

    The shape of images is ``(C, H, W)`` whatever the layout; other examples have the axes of the
    file. ``batch`` is the name of the batch axis.
    """

    input: GraphPort
    output: GraphPort
    layout: Layout
    input_shape: ExampleShape
    batch: str

    @property
    def file_shape(self) -> ExampleShape:
        """The axes of one example in the order of the file."""
        if self.layout == "NCHW":
            return self.input_shape
        channels, height, width = self.input_shape
        return height, width, channels

    @property
    def sizes(self) -> Mapping[str, int]:
        """The size of every axis that the input leaves open, for one example."""
        named = zip(self.input.shape, (1, *self.file_shape), strict=True)
        return {axis: size for axis, size in named if isinstance(axis, str)}


def example_ports(graph: Graph, *, input_shape: ExampleShape | None = None) -> ExamplePorts:
    """Read how the network takes examples, of ``input_shape`` where its file leaves sizes open.

    An input of four axes takes images, or what lies as images do. Raises InvalidNetwork
    naming the port and the way out.
    """
    port, answer = _only(graph.inputs, "input"), _only(graph.outputs, "output")
    if not 2 <= len(port.shape) <= 1 + _MOST_AXES or port.dtype not in _TAKEN:
        raise InvalidNetwork(
            f"input {_shown(port)} of {port.dtype}: expected images, (N, C, H, W) or (N, H, W, C), "
            f"or other examples, (N, ...) with 1 to {_MOST_AXES} axes behind the batch, of one of "
            f"{', '.join(sorted(_TAKEN))}"
        )
    batch, *rest = port.shape
    if not isinstance(batch, str):
        raise InvalidNetwork(
            f"input {_shown(port)} takes exactly {batch} examples at a time: {_DYNAMIC_BATCH}"
        )
    if len(rest) != IMAGE_AXES:
        sizes = _sizes(port, rest, input_shape)
        return ExamplePorts(
            input=port, output=answer, layout="NCHW", input_shape=sizes, batch=batch
        )
    layout = _layout(graph, port)
    sizes = _sizes(port, rest if layout == "NCHW" else [rest[2], rest[0], rest[1]], input_shape)
    if not 1 <= sizes[0] <= _MOST_CHANNELS:
        raise InvalidNetwork(
            f"input {_shown(port)}: images of {sizes[0]} channels ({layout}), and at most "
            f"{_MOST_CHANNELS} are taken"
        )
    return ExamplePorts(input=port, output=answer, layout=layout, input_shape=sizes, batch=batch)


def num_classes(ports: ExamplePorts, shape: tuple[int, ...] | None) -> int:
    """Return how many classes an output of that shape, for any batch, tells apart.

    Raises InvalidNetwork unless it is one row of logits for each example.
    """
    if shape is None or len(shape) != 2:
        said = "unknown" if shape is None else shape
        raise InvalidNetwork(
            f"output {_shown(ports.output)} has shape {said}: expected logits (N, K), one number "
            "for each class; detectors, segmenters and embeddings are not compressed yet"
        )
    if not 2 <= shape[1] <= MAX_CLASSES:
        raise InvalidNetwork(
            f"output {_shown(ports.output)} tells {shape[1]} classes apart: expected 2 to "
            f"{MAX_CLASSES}"
        )
    return shape[1]


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


def _only(ports: tuple[GraphPort, ...], what: str) -> GraphPort:
    if len(ports) == 1:
        return ports[0]
    names = ", ".join(map(_shown, ports[:8])) or "none"
    raise InvalidNetwork(
        f"the network has {len(ports)} {what}s ({names}): a classifier has one; export "
        f"it with the one {what} that is meant"
    )


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
    is_last = isinstance(last, int) and last <= _MOST_CHANNELS
    return (
        "NHWC" if is_last and not (isinstance(second, int) and second <= _MOST_CHANNELS) else "NCHW"
    )


def _readers(graph: Graph) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            found.setdefault(name, []).append(node)
    return found


def _shown(port: GraphPort) -> str:
    return f"{port.name[:80]!r} {port.shape}"
