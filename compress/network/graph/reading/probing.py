"""A graph tried at several sizes of its free axes, settled, its outputs named. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from compress.network.graph.reading import sequences
from compress.network.graph.reading.settle import settle
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, GraphPort, Shapes
from compress.values.errors import InvalidNetwork

_BATCHES = (2, 3)
_SCALES = (32, 16, 64, 8, 128, 256, 4, 16_000)
"""Units of an axis that is not the batch: images of strides up to 32, words, samples of sound."""
_Sizes = tuple[dict[str, int], dict[str, int]]


def settled(graph: Graph) -> Graph:
    """Settle the graph at the first sizes that its operators accept, and state its outputs.

    Raises InvalidNetwork if they accept none, if a shape depends on values, if an output is not
    what the file says, or if no answer has a batch axis.
    """
    refusal: InvalidNetwork | None = None
    for a, b in _tried(graph):
        try:
            done = settle(sequences.unpacked(graph, a), a, b)
            return _stated(done, (bind(done, a), bind(done, b)), (a, b))
        except _WrongOutput:
            raise
        except InvalidNetwork as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


class _WrongOutput(InvalidNetwork):
    """An output that no other size would mend."""


def _tried(graph: Graph) -> Iterator[_Sizes]:
    batches, others = _words(graph)
    if not others:
        scales: tuple[int, ...] = (1,)
    else:
        scales = _SCALES
    for scale in scales:
        for step in (1, 0) if len(others) > 1 else (1,):
            first = {word: scale * (2 + step * place) for place, word in enumerate(others)}
            second = {word: scale * (3 + 2 * step * place) for place, word in enumerate(others)}
            yield (
                dict.fromkeys(batches, _BATCHES[0]) | first,
                dict.fromkeys(batches, _BATCHES[1]) | second,
            )


def _words(graph: Graph) -> tuple[list[str], list[str]]:
    """The names of batch axes, and those of all other free ones."""
    batches = [p.shape[0] for p in graph.inputs if p.shape and isinstance(p.shape[0], str)]
    every = [axis for port in graph.inputs for axis in port.shape if isinstance(axis, str)]
    return list(dict.fromkeys(batches)), [w for w in dict.fromkeys(every) if w not in batches]


def _stated(graph: Graph, shapes: tuple[Shapes, Shapes], sizes: _Sizes) -> Graph:
    for node in graph.nodes:
        for name in node.outputs:
            if name and any(name not in each for each in shapes):
                raise _WrongOutput(
                    f"{node.op} (node {node.name[:80]!r}) makes a tensor whose shape depends on "
                    "values: export the network without what picks by value"
                )
    outputs = tuple(_output(port, graph, shapes, sizes) for port in graph.outputs)
    if not any(_has_batch(shapes, port.name) for port in outputs):
        raise _WrongOutput(
            f"no output has a batch axis in front (the first is {outputs[0].name[:80]!r} of shape "
            f"{list(outputs[0].shape)}): export the network for any number of inputs"
        )
    return replace(graph, outputs=outputs)


def _has_batch(shapes: tuple[Shapes, Shapes], name: str) -> bool:
    first, second = shapes[0][name], shapes[1][name]
    return bool(first) and (first[0], second[0]) == _BATCHES


def _output(
    port: GraphPort, graph: Graph, shapes: tuple[Shapes, Shapes], sizes: _Sizes
) -> GraphPort:
    """The port with the axes that it really has, under the file's words where there are any."""
    found = list(zip(shapes[0][port.name], shapes[1][port.name], strict=True))
    if port.shape and len(port.shape) != len(found):
        raise _wrong(port, graph, shapes[0][port.name])
    said = port.shape or (None,) * len(found)
    axes = enumerate(zip(said, found, strict=True))
    if any(isinstance(s, int) and a == b != s for s, (a, b) in zip(said, found, strict=True)):
        raise _wrong(port, graph, shapes[0][port.name])
    return replace(port, shape=tuple(_axis(port, n, s, pair, sizes) for n, (s, pair) in axes))


def _axis(
    port: GraphPort, number: int, said: int | str | None, pair: tuple[int, int], sizes: _Sizes
) -> int | str:
    if pair[0] == pair[1]:
        return pair[0]
    if isinstance(said, str) and said:
        return said
    words = [word for word in sizes[0] if (sizes[0][word], sizes[1][word]) == pair]
    return words[0] if words else f"{port.name}_{number}"


def _wrong(port: GraphPort, graph: Graph, found: tuple[int, ...]) -> _WrongOutput:
    maker = next((node for node in graph.nodes if port.name in node.outputs), None)
    who = "the input" if maker is None else f"{maker.op} (node {maker.name[:80]!r})"
    return _WrongOutput(
        f"output {port.name[:80]!r} is said to have shape {list(port.shape)}, {who} makes "
        f"{list(found)}: export the network again, or say the right shape in the file"
    )
