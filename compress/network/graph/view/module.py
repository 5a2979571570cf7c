"""A graph that runs and trains in torch.

Every node is a module under the name of its layer (``names.layer_names``): a layer of torch where
there is one, else an ``Operator``. What techniques do to the layers stays theirs; the way from one
to the next is the graph's. ``absorbing.absorb`` makes a graph of it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.graph.coupling import groups
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.names import layer_names
from compress.network.graph.values import Graph, Node, Shapes
from compress.network.graph.view.operators import functions
from compress.network.graph.view.operators.layers import LAYERS
from compress.network.graph.view.operators.site import Built, Site, unsupported
from compress.network.graph.view.program import GraphedModule, NodeCall, Program
from compress.network.signature import Signature

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "GRU", "Gather", "Gemm", "LSTM", "MatMul"})


class GraphModule(GraphedModule):
    """The torch view of a graph, in eval mode when it is made.

    ``shapes`` are those of the graph's tensors with its dynamic axes bound; ``known`` are names of
    layers, by their nodes, that shall be kept. ``staying`` are roots of groups whose channels may
    not leave, whatever the graph says, and why. Raises InvalidNetwork, with operator and node, for
    what torch cannot run.
    """

    def __init__(
        self,
        graph: Graph,
        shapes: Shapes,
        known: Mapping[str, str] | None = None,
        *,
        staying: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.staying = dict(staying or {})
        names, behind = layer_names(graph, known), _behind_layers(graph)
        held = _Held()
        calls: list[NodeCall] = []
        for node in graph.nodes:
            site = Site(graph, node, shapes, is_behind_layers=node.name in behind)
            built = build(site)
            held.tie_(built.module, site)
            _put(self, names[node.name], built.module)
            calls.append(_call(node, names[node.name], built, graph))
        self.program = Program(graph=graph, calls=_freeing(calls, graph))
        self.eval()

    def program_for(self, signature: Signature) -> Program:
        """Return its program: it runs on the ports of its own graph."""
        return self.program

    def couplings(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> Couplings:
        """Find the groups of channels that may leave it, without those that have to stay."""
        return groups.without_each(super().couplings(graph, shapes, layers), self.staying)

    def narrowed(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> GraphModule:
        """Return the view of the smaller graph; layers keep their names."""
        smaller = GraphModule(graph, shapes, layers, staying=self.staying).train(self.training)
        given = dict(self.named_parameters())
        for name, parameter in smaller.named_parameters():
            if name in given:
                parameter.requires_grad_(given[name].requires_grad)
        return smaller.to(next(iter(given.values())).device) if given else smaller

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """The graph's output for its input; tuples, in their order, where there are several."""
        graph = self.program.graph
        values = dict(zip((port.name for port in graph.inputs), _several(x, graph), strict=True))
        for call in self.program.calls:
            self._run(call, values)
        found = tuple(values[port.name] for port in graph.outputs)
        return found[0] if len(found) == 1 else found

    def _run(self, call: NodeCall, values: dict[str, Tensor]) -> None:
        inputs = [values[name] for name in call.reads]
        if call.pads:
            inputs[0] = functional.pad(inputs[0], call.pads)
        outputs = self.get_submodule(call.layer)(*inputs)
        made = call.node.outputs
        if len(made) == 1 and not isinstance(outputs, tuple):
            values[made[0]] = outputs
        else:
            values.update({name: outputs[i] for i, name in enumerate(made) if name})
        for name in call.frees:
            del values[name]


def _several(x: Tensor | Sequence[Tensor], graph: Graph) -> Sequence[Tensor]:
    """The inputs as a sequence: nothing is asked of one alone, which may stand for a tensor."""
    if len(graph.inputs) > 1:
        return tuple(x)
    return (x,)  # pyright: ignore[reportReturnType]


def build(site: Site) -> Built:
    """The module of a node. Raises InvalidNetwork for an operator that torch does not have."""
    if site.node.op in LAYERS:
        return LAYERS[site.node.op](site)
    if site.node.op not in functions.OPERATORS:
        raise unsupported(site.node, "is an operator that cannot be run here")
    return functions.build(site)


class _Held:
    """The parameters made so far, by the tensors that they hold: one tensor is one parameter."""

    def __init__(self) -> None:
        self._by_tensor: dict[str, list[nn.Parameter]] = defaultdict(list)

    def tie_(self, module: nn.Module, site: Site) -> None:
        """Let the module hold the parameter of an earlier node in place of a copy of it."""
        tensors = [name for name in site.node.inputs if name in site.graph.tensors]
        matrices = [name for name in tensors if site.graph.tensors[name].ndim > 1]
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.ndim < 2:
                continue
            for tensor in matrices:
                setattr(module, name, self._held(tensor, module.get_parameter(name), site))

    def _held(self, tensor: str, parameter: nn.Parameter, site: Site) -> nn.Parameter:
        if parameter.numel() != site.graph.tensors[tensor].size:
            return parameter
        for known in self._by_tensor[tensor]:
            if known.shape == parameter.shape and torch.equal(known, parameter):
                return known
        self._by_tensor[tensor].append(parameter)
        return parameter


def _behind_layers(graph: Graph) -> frozenset[str]:
    """The nodes that compute with what a layer with weights has put out."""
    computed: set[str] = set()
    found: set[str] = set()
    for node in graph.nodes:
        if not computed.isdisjoint(node.inputs):
            found.add(node.name)
            computed.update(node.outputs)
        elif node.op in _WEIGHTED:
            computed.update(node.outputs)
    return frozenset(found)


def _call(node: Node, layer: str, built: Built, graph: Graph) -> NodeCall:
    places = range(len(node.inputs)) if built.reads is None else built.reads
    reads = tuple(node.inputs[place] for place in places)
    missing = [name for name in reads if name in graph.tensors]
    if missing:
        raise unsupported(node, f"reads the constant {missing[0]} where an activation is expected")
    return NodeCall(node=node, layer=layer, reads=reads, pads=built.pads, statics=built.statics)


def _freeing(calls: Sequence[NodeCall], graph: Graph) -> tuple[NodeCall, ...]:
    """The calls, each with the tensors that it is the last to read, or makes for nobody."""
    last: dict[str, int] = {}
    for number, call in enumerate(calls):
        last.update(dict.fromkeys((*filter(None, call.node.outputs), *call.reads), number))
    kept = {port.name for port in graph.outputs}
    frees: Mapping[int, list[str]] = defaultdict(list)
    for name, number in last.items():
        if name not in kept:
            frees[number].append(name)
    return tuple(replace(call, frees=tuple(frees[i])) for i, call in enumerate(calls))


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    """Register a module under a dotted name, with plain containers on the way."""
    *path, last = name.split(".")
    for part in path:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.add_module(last, module)
