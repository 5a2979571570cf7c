"""Write a compressed network to a file: one ONNX graph on raw pixel values, gated and digested.

The graph's input ``input`` is float32 ``(N, C, H, W)`` with the dataset's raw values and any N;
its output ``logits`` is ``(N, K)``. Files of an imported network have the ports of the file that it
came from instead (``compress.export.ports``). Normalisation is one Mul and one Add, after another
Add if values lie far from zero (``compress.network.affine``). It cannot be folded into
the first convolution, whose zero padding would then mean another grey value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto
from torch import Tensor, nn

from compress.export import (
    activation_calibration,
    activation_ranges,
    counting,
    onnx_graph,
    onnx_layers,
    onnx_shapes,
    onnx_trace,
    parity,
    quantized_graph,
    views,
)
from compress.export.onnx_layers import WeightedNode
from compress.export.placement import Placement, quantized_tensors
from compress.export.ports import file_ports, lengths
from compress.export.weight_encoding import counted_places, encoder
from compress.network import affine, folding, layers
from compress.network.folding import Stored
from compress.network.graph import oldest
from compress.network.graph.view import raw_values
from compress.network.graph.view.program import GraphedModule
from compress.network.network import Artifact, Network
from compress.network.signature import Signature
from compress.network.stored_weight import SparseFloat, exactly, halved_integers, takes_eight_bits
from compress.targets import needs, rules
from compress.targets.registry import AS_MADE
from compress.tasks.images import ImageData
from compress.tasks.registry import IMAGE_CLASSIFICATION
from compress.tasks.task import Task
from compress.techniques.compressed import CompressedModel
from compress.techniques.mirroring.config import Views
from compress.techniques.quantization.config import Quantization
from compress.training import calibration as observation
from compress.training import constraints
from compress.values.errors import ExportParityError, InvalidData
from compress.values.measurement import Observer, Parity


def write(
    compressed: CompressedModel,
    folder: Path,
    *,
    data: ImageData,
    task: Task = IMAGE_CLASSIFICATION,
    name: str = "model",
    packs: bool = True,
) -> Artifact:
    """Export, quantize if asked, prove, and write ``folder / f"{name}.onnx"`` in one step.

    ``packs`` is whether weights take few bytes; ``compress.delivery`` makes other forms unpacked.
    The file appears under its name only when it is complete and has passed its gates (see
    ``compress.export.parity``). Raises ExportParityError, NumericalError, InvalidData or
    InvalidCandidate; then nothing is left behind.
    """
    _check_fit(compressed.network, data)
    network, stored = constraints.bake(compressed.network)
    network = replace(network, module=network.module.to("cpu").eval())
    x_NCHW = parity.images(data.validation, width=network.signature.numbers)
    over, quantization = views.of(compressed), compressed.step(Quantization)
    folded, packed, reference_NK = _folded(
        network, stored, quantization, x_NCHW=x_NCHW, over=over, task=task
    )
    graph = packed if packs else packed.unpacked()
    in_integers = quantization is not None and quantization.activations == "int8"
    # The integers of a file with integer kernels are the second gate's business.
    ports = network.ports
    model = _file_form(graph.graph if in_integers else graph.in_float(), over, ports)
    gate, open_sizes = _in_parity(
        model, folded, reference_NK=reference_NK, x_NCHW=x_NCHW, over=over, task=task
    )
    in_float, observer = model, None
    notes = compressed.notes + graph.lone_layers()
    if quantization is not None and in_integers:
        chosen = activation_ranges.choose(
            graph.writer(quantization, _seen(data, quantization, network), over, ports),
            asked=quantization.activation_observer,
            reducible=graph.is_reducible,
            reference_NK=reference_NK,
            x_NCHW=x_NCHW,
            task=task,
            signature=ports,
        )
        model, gate, observer = chosen.model, chosen.gate, chosen.observer
        notes += (*graph.float_steps(), *chosen.notes)
    notes += open_sizes + lengths.check_padding(model, folded, x_NCHW, in_float=in_float)
    path, names = folder / f"{name}.onnx", data.class_names
    artifact = _written(model, path, ports, class_names=names, gate=gate, notes=notes)
    return replace(artifact, activation_observer=observer, kept_words=compressed.kept_words)


def _in_parity(
    model: ModelProto,
    network: Network,
    *,
    reference_NK: NDArray[np.float32],
    x_NCHW: Tensor,
    over: Views,
    task: Task,
) -> tuple[Parity, tuple[str, ...]]:
    """Prove a float file, for any number of examples and at another size; return notes, too."""
    content = model.SerializeToString()
    gate = parity.check_float(
        content, reference_NK=reference_NK, x_NCHW=x_NCHW, task=task, signature=network.ports
    )
    parity.check_few(content, network=network, x_NCHW=x_NCHW, over=over, task=task)
    return gate, lengths.check(model, network, x_NCHW)


def _seen(data: ImageData, quantization: Quantization, network: Network) -> Tensor:
    """Return the training images that calibrate the activations, ``(N, C, H, W)``."""
    return observation.sample(
        data.train,
        num_images=quantization.calibration_images,
        input_shape=network.input_shape,
    )


def _folded(
    network: Network,
    stored: Mapping[str, Stored],
    quantization: Quantization | None,
    *,
    x_NCHW: Tensor,
    over: Views,
    task: Task,
) -> tuple[Network, Shipping, NDArray[np.float32]]:
    """Return the folded network, its float graph, and answers ``(N, K)``; checks each step."""
    reference_NK = parity.torch_logits(network, x_NCHW, over=over)
    halves = quantization is not None and quantization.scale_bits == 16
    short = quantization is not None and quantization.shortens
    folded, stored = folding.fold(network, stored)
    if short or halves:
        # The reference changes below, so that this step is proved by itself.
        parity.check_folded(folded, reference_NK=reference_NK, x_NCHW=x_NCHW, over=over, task=task)
    if short:
        # Another grid, not another form of the same: what it costs is measured, not gated.
        folded, stored = folding.shorten(folded, stored)
        reference_NK = parity.torch_logits(folded, x_NCHW, over=over)
    if halves:
        folded, stored = folding.halve(folded, stored)
        reference_NK = parity.check_halved(
            folded, reference_NK=reference_NK, x_NCHW=x_NCHW, over=over, task=task
        )
    return folded, Shipping.of(folded, stored), reference_NK


@dataclass(frozen=True, kw_only=True)
class Shipping:
    """A folded network as a float graph, with the weights to be stored for its layers.

    ``most_bytes`` bounds what loading its files computes at once; 0 leaves weights unpacked.
    """

    graph: ModelProto
    nodes: Mapping[str, WeightedNode]
    stored: Mapping[str, Stored]
    most_bytes: int = encoder.MOST_BYTES

    @classmethod
    def of(cls, network: Network, stored: Mapping[str, Stored]) -> Shipping:
        """Write a plain, folded network; weights that are integers anyway are stored as such."""
        graph = float_graph(network)
        found = layers.weighted(network)
        exact = {layer.name: exactly(layer.module.weight.detach().numpy()) for layer in found}
        kept = {name: weight for name, weight in exact.items() if weight is not None}
        return cls(graph=graph, nodes=onnx_layers.match(graph, found), stored=kept | dict(stored))

    def in_float(self) -> ModelProto:
        """Return the graph with its weights stored, computing in float."""
        return self._packed(
            quantized_graph.with_stored_weights(
                self.graph, nodes=self.nodes, stored=self.stored, most_bytes=self.most_bytes
            )
        )

    def _packed(self, model: ModelProto) -> ModelProto:
        """Return the model itself, which counts its words if anything is packed."""
        if self.most_bytes:
            counted_places.pack(model)
        return model

    def in_integers(
        self, config: Quantization, x_NCHW: Tensor, *, observer: Observer
    ) -> ModelProto:
        """Return the graph with its weights stored, computing in integers on grids for ``x_NCHW``.

        ``observer`` sets their ranges, whatever the config asks for.
        """
        integer = quantized_graph.integer_nodes(self.nodes, self.stored)
        tensors = quantized_tensors(self.graph, integer=integer)
        ranges = activation_calibration.collect(
            self.graph,
            tensors=tensors,
            x_NCHW=x_NCHW,
            observer=observer,
            percentile=config.percentile,
        )
        if config.shortens:
            ranges = {name: seen.on_power_of_two() for name, seen in ranges.items()}
        return self._packed(
            quantized_graph.with_integer_kernels(
                self.graph,
                nodes=self.nodes,
                stored=self.stored,
                ranges=ranges,
                most_bytes=self.most_bytes,
            )
        )

    def writer(
        self, config: Quantization, x_NCHW: Tensor, over: Views, ports: Signature | None
    ) -> Callable[[Observer, bool], ModelProto]:
        """Return what writes the file with ranges by an observer and, if asked, reduced weights."""

        def write(observer: Observer, is_reduced: bool) -> ModelProto:
            graph = self.reduced() if is_reduced else self
            integers = graph.in_integers(config, x_NCHW, observer=observer)
            return _file_form(integers, over, ports)

        return write

    @property
    def is_reducible(self) -> bool:
        """Whether a weight has integers that take 8 bits."""
        return any(map(takes_eight_bits, self.stored.values()))

    def reduced(self) -> Shipping:
        """Return the same with 7 bits for weights of 8, on grids twice as coarse."""
        stored = {
            name: halved_integers(weight) if takes_eight_bits(weight) else weight
            for name, weight in self.stored.items()
        }
        return replace(self, stored=stored)

    def unpacked(self) -> Shipping:
        """Return the same with weights in forms that decode nothing; zeros have no sign in any."""
        stored = {
            name: replace(weight, values_OI=weight.values_OI + np.float32(0))
            if isinstance(weight, SparseFloat)
            else weight
            for name, weight in self.stored.items()
        }
        return replace(self, stored=stored, most_bytes=0)

    def lone_layers(self) -> tuple[str, ...]:
        """Return a note about layers that the graph computes without their own weights."""
        found = {node.layer for node in self.nodes.values()}
        lone = ", ".join(name for name in self.stored if name not in found)
        why = "nothing reads them, or something changes their weights before they are used"
        return (f"not stored as asked, in float if at all: {lone} ({why})",) if lone else ()

    def float_steps(self) -> tuple[str, ...]:
        """Return a note about what a file with integer kernels still computes in float.

        The normalisation at the front and everything behind the last integer layer are not
        mentioned.
        """
        integer = quantized_graph.integer_nodes(self.nodes, self.stored)
        found = Placement.of(self.graph, integer=integer).in_float(self.graph.graph.node)
        said = ", ".join(f"{number} {kind}" for kind, number in sorted(found.items()))
        return (f"between integer layers, in float: {said}",) if said else ()


def float_graph(network: Network) -> ModelProto:
    """Return the network, in eval mode, as an ONNX graph on raw values with constants folded.

    Only what is neither of a family nor uploaded goes through torch's exporter. Raises
    InvalidCandidate if that cannot write it.
    """
    if isinstance(network.module, GraphedModule):
        model = raw_values.on_raw_values(network.module, network.signature, network.normalisation)
        onnx_graph.fold(model)
        onnx_graph.number_tensors(model)
        return model
    model = onnx_trace.traced(_OnRawValues(network), torch.zeros(2, *network.input_shape))
    onnx_graph.fold(model)
    onnx_shapes.resolve(model)
    return model


def _check_fit(network: Network, data: ImageData) -> None:
    """Raise InvalidData unless the data has such examples, and classes if it has any."""
    classes = data.num_classes or network.num_classes
    takes, has = (network.input_shape, network.num_classes), (data.input_shape, classes)
    if takes != has:
        raise InvalidData(
            f"the network takes images of shape {takes[0]} and knows {takes[1]} classes, the data "
            f"has shape {has[0]} and {has[1]} classes"
        )


class _OnRawValues(nn.Module):
    """Computes ``module((x * scale - mean) / std)`` in the form of ``compress.network.affine``."""

    factor_C11: Tensor
    offset_C11: Tensor
    less_C11: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        found = affine.affine(network.normalisation, axes=len(network.input_shape))
        self.is_identity = found.is_identity
        self.has_shift = found.has_shift
        self.module = network.module
        self.register_buffer("factor_C11", found.factor_C11)
        self.register_buffer("offset_C11", found.offset_C11)
        # Added, not subtracted: whoever reads the graph knows an Add of a constant.
        self.register_buffer("less_C11", -found.shift_C11)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return logits for raw values."""
        if self.is_identity:
            return self.module(x_NCHW)
        if self.has_shift:
            x_NCHW = x_NCHW + self.less_C11
        return self.module(x_NCHW * self.factor_C11 + self.offset_C11)


def _file_form(graph: ModelProto, over: Views, ports: Signature | None) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(graph)
    views.average(model, over)
    if ports is not None:
        file_ports.put(model, ports)
    onnx_graph.compact(model)
    oldest.lower(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.shape_inference.InferenceError as error:
        reason = " ".join(str(error).split())
        raise ExportParityError(
            f"the file's shapes do not agree for any batch: {reason}"
        ) from error
    rules.check(model, AS_MADE)
    return model


def _written(
    model: ModelProto,
    path: Path,
    ports: Signature | None,
    *,
    class_names: Sequence[str],
    gate: Parity,
    notes: tuple[str, ...],
) -> Artifact:
    counts = counting.count(model)
    if ports is not None:
        file_ports.declare(model, ports)
    notes += file_ports.name_classes(model, class_names)
    content = model.SerializeToString(deterministic=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
    return Artifact(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        max_abs_error=gate.max_abs_error,
        agreement=gate.agreement,
        parity_images=gate.images,
        parameters=counts.parameters,
        macs=counts.macs,
        notes=(*notes, *parity.note(gate)),
        equal_classes=gate.equal_classes,
        signature=ports,
        target=AS_MADE.name,
        runtimes=needs.oldest(model, AS_MADE),
    )
