"""Make a file of one target's form out of the file that was measured, and prove it. Torch-free.

    python -m compress.conversion.convert TARGET DESCRIPTOR < measured.onnx

It writes into the open file of that number, as whoever bounds it asks, and ends with status 3 and
words on stderr if the file has no such form.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, TensorProto

from compress.conversion import decoding, grids, packing, running, symmetric, tables
from compress.export import onnx_graph
from compress.export.weight_encoding import counted_places
from compress.export.weight_encoding.float_spelling import FLOATS
from compress.network.graph.reading import conversion as reading
from compress.network.graph.values import Graph
from compress.network.graph.write import write
from compress.targets import registry, rules
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.targets.target import Target
from compress.targets.tensorrt import TENSORRT
from compress.values.errors import CompressError, InvalidNetwork, TargetParityError

REFUSED = 3
"""Status of a process whose file has no form for the target."""
_CLOSE, _COARSE = 1e-4, 0.05
"""Largest errors, in parts of the spread of the answers: of floats, and of files with grids."""
_SEED = 0
_MOST_BYTES = 2**29
"""What loading a portable file may compute at once."""


def convert(data: bytes, target: Target) -> bytes:
    """Return the file in the form of the target: the same bytes for the same file.

    Its metadata names target, source and the largest error on random inputs. Raises
    InvalidNetwork naming an operator that the target's opset cannot say, TargetRuleBroken and
    TargetParityError.
    """
    model = _parsed(data)
    if target is registry.AS_MADE:
        return data
    if moves_grids(model, target):
        raise InvalidNetwork(
            f"activations of the file lie on grids that the target {target.name!r} has not, and on "
            "others its accuracy is another: post a job with that target, which measures them"
        )
    made = converted(model, target)
    source = {"featherweight.source_sha256": hashlib.sha256(data).hexdigest()}
    onnx.helper.set_model_props(made, _metadata(made) | source)
    return made.SerializeToString(deterministic=True)


def converted(model: ModelProto, target: Target) -> ModelProto:
    """Return the model in the form of the target, proven, as ``convert`` does; not ``AS_MADE``.

    Where the target ``moves_grids``, answers are others: whoever asks has to look at them.
    """
    made = _MAKERS[target.name](model)
    rules.check(made, target)
    said = {"featherweight.target": target.name}
    if not moves_grids(model, target):
        error = _check_answers(model, made)
        said["featherweight.largest_error"] = (
            f"{error:.3g} of the spread of answers to random inputs, in onnxruntime "
            f"{onnxruntime.__version__}"
        )
    onnx.helper.set_model_props(made, _metadata(model) | said)
    return made


def _plain(model: ModelProto) -> ModelProto:
    return _lowered(_laid_out(model))


def _laid_out(model: ModelProto) -> ModelProto:
    """Return the model with nothing left to decode: neither at once nor by rows."""
    whole = _whole(model)
    tables.lay_out(whole)
    return whole


def _whole(model: ModelProto) -> ModelProto:
    whole = decoding.decoded(model)
    decoding.with_integer_biases(whole)
    return whole


def _lowered(whole: ModelProto) -> ModelProto:
    made = write(_graph(whole), PLAIN.opset)
    made.ir_version = PLAIN.ir_version
    for node in made.graph.node:
        node.ClearField("name")
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InvalidNetwork(f"opset {PLAIN.opset} cannot say the file: {reason}") from error
    return made


def _tensorrt(model: ModelProto) -> ModelProto:
    """Return the plain model with its activations on other grids: its answers are others, too."""
    whole = decoding.decoded(model)
    tables.lay_out(whole)
    symmetric.with_symmetric_grids(whole)
    return _lowered(whole)


def _portable(model: ModelProto) -> ModelProto:
    """Return the plain model with its constants packed again."""
    made = packing.packed(_lowered(_whole(model)), grids.found(model), most_bytes=_MOST_BYTES)
    counted_places.pack(made, FLOATS)
    onnx_graph.compact(made)
    onnx.checker.check_model(made, full_check=True)
    return made


_MAKERS = {PLAIN.name: _plain, PORTABLE.name: _portable, TENSORRT.name: _tensorrt}


def _graph(model: ModelProto) -> Graph:
    """Return the file as it stands: what it says means the same in opset 21."""
    outputs = reading.ports(model.graph.output, named=False)
    return reading.to_graph(model, outputs, _metadata(model))


def _metadata(model: ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def moves_grids(model: ModelProto, target: Target) -> bool:
    """Return whether activations lie on other grids in the form of the target."""
    return target.symmetric_activations and _has_grids(model)


def _has_grids(model: ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def _check_answers(model: ModelProto, made: ModelProto) -> float:
    """Return the largest error of the new file, in parts of the spread of the old one's answers."""
    limit = _COARSE if _has_grids(model) else _CLOSE
    largest = 0.0
    given = list(running.random_inputs(model, seed=_SEED))
    pairs = zip(*(running.run_all(each, None, given) for each in (model, made)), strict=True)
    for expected, found in pairs:
        for port, one, other in zip(model.graph.output, found, expected, strict=True):
            error = _error(one, other)
            largest = max(largest, error)
            if not error <= limit:
                raise TargetParityError(
                    f"output {port.name[:80]!r} of the converted file differs by {error:.2g} of "
                    f"its spread in onnxruntime {onnxruntime.__version__}, at most {limit:g} is "
                    "allowed: take the file as it was measured"
                )
    return largest


def _error(found: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """Return the largest difference over the spread; infinite for other shapes or NaN."""
    if found.shape != expected.shape or not np.array_equal(
        np.isfinite(found), np.isfinite(expected)
    ):
        return float("inf")
    finite = np.isfinite(expected)
    one, other = (values[finite].astype(np.float64) for values in (found, expected))
    if not one.size or np.array_equal(one, other):
        return 0.0
    return float(np.abs(one - other).max() / max(float(other.std()), 1e-6))


def _parsed(data: bytes) -> ModelProto:
    """Read a file that computes with nothing but itself. Raises InvalidNetwork."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InvalidNetwork("the file is not an ONNX model") from error
    attributes = [a for node in model.graph.node for a in node.attribute]
    attributes += [a for function in model.functions for n in function.node for a in n.attribute]
    for attribute in attributes:
        if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
            raise InvalidNetwork("the file has loops or branches: no form of it is made")
    tensors = [
        *model.graph.initializer,
        *(a.t for a in attributes),
        *(t for a in attributes for t in a.tensors),
    ]
    if model.graph.sparse_initializer or any(
        tensor.data_location == TensorProto.EXTERNAL or tensor.external_data for tensor in tensors
    ):
        raise InvalidNetwork("the file keeps tensors elsewhere: no form of it is made")
    return model


def main() -> None:
    """Convert the file on stdin to the target that the first argument names."""
    name, descriptor = sys.argv[1:]
    try:
        made = convert(sys.stdin.buffer.read(), registry.find(name))
    except CompressError as error:
        sys.stderr.write(" ".join(str(error).split()))
        raise SystemExit(REFUSED) from error
    with open(int(descriptor), "wb") as output:  # noqa: PTH123 - a number is no path
        output.write(made)


if __name__ == "__main__":
    main()
