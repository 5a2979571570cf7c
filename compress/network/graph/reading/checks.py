"""What is refused in a file before anything of it is computed. Torch-free."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from compress.network.graph.reading.limits import FileLimits
from compress.values.errors import InvalidNetwork
from compress.values.shown import some

OLDEST_OPSET = 7
STANDARD = ("", "ai.onnx")
_SEQUENCES_AND_STRINGS = (
    "OptionalGetElement",
    "OptionalHasElement",
    "Optional",
    "RegexFullMatch",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
)
_QUANTIZED = {
    "ConvInteger": "dynamic quantization",
    "DynamicQuantizeLinear": "dynamic quantization",
    "MatMulInteger": "dynamic quantization",
    "QLinearConv": "the QOperator form",
    "QLinearMatMul": "the QOperator form",
}
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"}
    | {"RandomUniform", "RandomUniformLike"}
)


_TYPES = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    | {TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16}
    | {TensorProto.INT32, TensorProto.UINT32, TensorProto.INT64, TensorProto.UINT64}
    | {TensorProto.BOOL}
)


def _type_name(number: int) -> str:
    known = TensorProto.DataType.values()
    return TensorProto.DataType.Name(number) if number in known else str(number)


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators that the file speaks."""
    return next(entry.version for entry in model.opset_import if entry.domain in STANDARD)


def shown(node: NodeProto) -> str:
    """The operator and the name of a node, as messages show them."""
    name = node.name or next(iter(node.output), "")
    domain = "" if node.domain in STANDARD else f"{node.domain[:80]}."
    return f"{domain}{node.op_type[:80]} (node {name[:80]!r})"


def check(model: ModelProto, limits: FileLimits) -> None:
    """Refuse what this reader can never take over. Raises InvalidNetwork with the way out."""
    _check_opset(model)
    _check_sizes(model, limits)
    _check_functions(model, limits)
    for graph in _graphs(model):
        for tensor in (*graph.initializer, *_tensor_attributes(graph.node)):
            _check_tensor(tensor, limits)
        if graph.sparse_initializer:
            raise InvalidNetwork("sparse initializers are not read: store dense tensors")
    own = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        if (node.domain, node.op_type) not in own:
            _check_operator(node, opset_of(model))
        _check_attributes(node, limits)
    _check_names(model.graph)


def _check_opset(model: ModelProto) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in STANDARD]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not OLDEST_OPSET <= versions[0] <= newest:
        raise InvalidNetwork(
            f"the file says opset {versions or 'none'} of ONNX's own operators; expected one from "
            f"{OLDEST_OPSET} to {newest}: export it with opset 17"
        )


def _check_sizes(model: ModelProto, limits: FileLimits) -> None:
    metadata = sum(entry.ByteSize() for entry in model.metadata_props)
    if metadata > limits.metadata_bytes:
        raise InvalidNetwork(
            f"the file's metadata has {metadata} bytes, at most {limits.metadata_bytes} are kept: "
            "remove entries of metadata_props"
        )
    tensors = sum(len(graph.initializer) for graph in _graphs(model))
    if tensors > limits.tensors:
        raise InvalidNetwork(
            f"the network has {tensors} tensors, at most {limits.tensors} are read: export a "
            "smaller one"
        )
    for port in (*model.graph.input, *model.graph.output):
        if port.type.WhichOneof("value") not in {"tensor_type", None}:
            raise InvalidNetwork(f"{port.name[:80]!r} is no tensor: export tensors only")
    if not model.graph.output:
        raise InvalidNetwork("the network has no outputs: export it with at least one")
    if not model.graph.input:
        raise InvalidNetwork("the network has no inputs: export it with at least one")


def _check_functions(model: ModelProto, limits: FileLimits) -> None:
    functions = {(each.domain, each.name): each for each in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    for key in functions:
        _expanded(key, functions, sizes, path=())
    total = sum(sizes.get((n.domain, n.op_type), 1) for n in _within(model.graph.node))
    if total > limits.nodes:
        raise InvalidNetwork(
            f"the network has {total} operators, at most {limits.nodes} are read: "
            "export a smaller one"
        )


def _expanded(
    key: tuple[str, str],
    functions: dict[tuple[str, str], FunctionProto],
    sizes: dict[tuple[str, str], int],
    path: tuple[tuple[str, str], ...],
) -> int:
    """Count the operators of a function after all that it calls is inlined."""
    if key in path or len(path) > 50:
        raise InvalidNetwork(
            f"function {key[1][:80]!r} calls itself: export without functions that recurse"
        )
    if key not in sizes:
        sizes[key] = sum(
            _expanded(inner, functions, sizes, (*path, key)) if inner in functions else 1
            for inner in ((n.domain, n.op_type) for n in _within(functions[key].node))
        )
    return sizes[key]


def _check_operator(node: NodeProto, opset: int) -> None:
    if node.op_type in _QUANTIZED or node.op_type.startswith(("QLinear", "QGemm", "DynamicQuant")):
        how = _QUANTIZED.get(node.op_type, "quantized operators")
        raise InvalidNetwork(
            f"{shown(node)} is of {how}: upload the float network; its bits are searched here"
        )
    if node.domain not in STANDARD:
        raise InvalidNetwork(
            f"{shown(node)} is no operator of ONNX: export without custom operators"
        )
    if node.op_type in {"Loop", "Scan"}:
        raise InvalidNetwork(f"{shown(node)} is control flow: export with the loop unrolled")
    if node.op_type in _SEQUENCES_AND_STRINGS:
        raise InvalidNetwork(f"{shown(node)} works on sequences or strings: export tensors only")
    if node.op_type in _RANDOM:
        raise InvalidNetwork(f"{shown(node)} draws random numbers: export in inference mode")
    if not onnx.defs.has(node.op_type, opset, ""):
        raise InvalidNetwork(
            f"{shown(node)} is no operator of opset {opset}: export with the opset that it is of"
        )


def _check_attributes(node: NodeProto, limits: FileLimits) -> None:
    for attribute in node.attribute:
        count = max(len(attribute.ints), len(attribute.floats), len(attribute.strings))
        if count > limits.attribute_numbers:
            raise InvalidNetwork(
                f"{shown(node)} has an attribute {attribute.name[:80]!r} of {count} values, "
                f"at most {limits.attribute_numbers} are read: store them as a tensor"
            )


def _check_tensor(tensor: TensorProto, limits: FileLimits) -> None:
    name = tensor.name[:80]
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise InvalidNetwork(
            f"tensor {name!r} lies in another file: save with all weights inside "
            "(onnx.save(..., save_as_external_data=False))"
        )
    if len(tensor.dims) > limits.rank or any(size < 0 for size in tensor.dims):
        raise InvalidNetwork(
            f"tensor {name!r} has shape {list(tensor.dims)[:10]}; "
            f"expected at most {limits.rank} axes"
        )
    if tensor.data_type not in _TYPES:
        raise InvalidNetwork(
            f"tensor {name!r} is of type {_type_name(tensor.data_type)}; expected floats, "
            "integers of 8 to 64 bits or truth values: upload the float network"
        )
    expected, held = _bytes_of(tensor)
    if expected != held:
        raise InvalidNetwork(
            f"tensor {name!r} of shape {list(tensor.dims)} needs {expected} bytes, the file "
            f"holds {held}: the file is damaged"
        )


def _bytes_of(tensor: TensorProto) -> tuple[int, int]:
    """How many bytes a tensor of that shape has, and how many are there."""
    width = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    field = getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type))
    held = len(tensor.raw_data) if tensor.HasField("raw_data") else len(field) * width
    return math.prod(tensor.dims) * width, held


def _check_names(graph: GraphProto) -> None:
    made = [name for node in graph.node for name in node.output if name]
    given = {port.name for port in graph.input} | {tensor.name for tensor in graph.initializer}
    twice = [name for name, count in Counter(made).items() if count > 1]
    twice += [name for name in made if name in given]
    twice += [n for n, count in Counter(t.name for t in graph.initializer).items() if count > 1]
    twice += [n for n, count in Counter(p.name for p in graph.input).items() if count > 1]
    if twice:
        raise InvalidNetwork(
            f"several tensors have one name: {some(sorted(set(twice)))}: the file is damaged"
        )
    _check_sources(graph, set(made) | given)


def _check_sources(graph: GraphProto, known: set[str]) -> None:
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise InvalidNetwork(
                    f"{shown(node)} reads {name[:80]!r}, which nothing makes: damaged"
                )
    for port in graph.output:
        if port.name not in known:
            raise InvalidNetwork(f"nothing makes the output {port.name[:80]!r}: damaged")
    _check_acyclic(graph)


def _check_acyclic(graph: GraphProto) -> None:
    """Kahn's algorithm: what is left when no node is ready any more lies on a cycle."""
    makers = {
        name: number for number, node in enumerate(graph.node) for name in node.output if name
    }
    reads = [{makers[name] for name in _reads(node) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for number, sources in enumerate(reads):
        for source in sources:
            readers.setdefault(source, []).append(number)
    missing = [len(sources) for sources in reads]
    ready = [number for number, count in enumerate(missing) if not count]
    for number in ready:
        for reader in readers.get(number, ()):
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(ready) < len(graph.node):
        left = next(number for number, count in enumerate(missing) if count)
        raise InvalidNetwork(f"{shown(graph.node[left])} lies on a cycle: the file is damaged")


def _reads(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in _subgraphs(attribute):
            for inner in graph.node:
                yield from _reads(inner)


def _subgraphs(attribute: AttributeProto) -> tuple[GraphProto, ...]:
    single = (attribute.g,) if attribute.HasField("g") else ()
    return (*single, *attribute.graphs)


def _within(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in _subgraphs(attribute):
                yield from _within(graph.node)


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    yield from _within(model.graph.node)
    for function in model.functions:
        yield from _within(function.node)


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    yield model.graph
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from _subgraphs(attribute)


def _tensor_attributes(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
