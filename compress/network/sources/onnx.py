"""Networks of uploaded ONNX files, as torch runs and trains them."""

from __future__ import annotations

from pathlib import Path

from compress.network.graph.read import read
from compress.network.graph.shapes import bind
from compress.network.graph.view.module import GraphModule
from compress.network.network import Network
from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.signature import BATCH, ExampleShape
from compress.network.sources import onnx_form, onnx_outline, onnx_trial
from compress.network.sources.ports import onnx_ports
from compress.values.errors import InvalidNetwork


def load(
    source: bytes | Path,
    *,
    input_shape: ExampleShape,
    num_classes: int | None,
    normalisation: Normalisation | None = None,
) -> Network:
    """The network of a file, ready to predict, with the ports of the file.

    ``input_shape`` is that of one example, of images ``(C, H, W)`` whatever order the file has, of
    several inputs that of ``signature.packed_shape``. ``num_classes`` are the numbers along the
    last axis of its answer; None takes what it has.
    Without a ``normalisation`` the network takes raw values as its file does.
    Raises InvalidNetwork for a file that is refused and for one that takes other examples or knows
    other classes.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    graph = read(data)
    ports = onnx_ports.example_ports(graph, input_shape=input_shape)
    shapes = [bind(graph, ports.sizes(size)) for size in onnx_ports.BATCHES]
    known = onnx_ports.answer(ports, shapes).width
    if num_classes is not None and known != num_classes:
        raise InvalidNetwork(
            f"the network tells {known} classes apart, the data has {num_classes}: train its last "
            "layer for these classes, or give it data of its own"
        )
    working, signature = onnx_form.inner(graph, ports, bind(graph, ports.sizes()))
    return Network(
        module=GraphModule(
            working, bind(working, {BATCH: 2}), staying=onnx_trial.unproven(working)
        ),
        normalisation=normalisation or Normalisation.identity_of(input_shape),
        input_shape=input_shape,
        num_classes=known,
        ports=signature,
    )


def outline(network: Network) -> Outline:
    """Describe a network of ``load``, as the inspection of its file has described it."""
    assert isinstance(network.module, GraphModule)
    module = network.module
    return onnx_outline.described(module.program.graph, network.signature, module.staying)
