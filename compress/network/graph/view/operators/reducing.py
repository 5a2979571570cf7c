"""Operators that sum, average or pick along axes, and products of two activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from compress.network.graph.view.operators.site import Site, unsupported

Reduction = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _prod(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = torch.prod(x, axis, keepdim=keep)
    return x


_REDUCTIONS: Mapping[str, Reduction] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceProd": _prod,
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keepdim=keep),
}


def _reduction(site: Site) -> Callable[..., Tensor]:
    rank, axes = site.rank(), site.integers(1, "axes")
    keep = bool(site.attribute("keepdims", 1))
    if not axes and site.attribute("noop_with_empty_axes", 0):
        return lambda x: x
    chosen = tuple(axis % rank for axis in axes) if axes else tuple(range(rank))
    reduce = _REDUCTIONS[site.node.op]
    return lambda x: reduce(x, chosen, keep)


def _global(site: Site) -> Callable[..., Tensor]:
    axes = tuple(range(2, site.rank()))
    if site.node.op == "GlobalMaxPool":
        return lambda x: x.amax(axes, keepdim=True)
    return lambda x: x.mean(axes, keepdim=True)


def _extreme(site: Site) -> Callable[..., Tensor]:
    axis, keep = site.axis(0), bool(site.attribute("keepdims", 1))
    if site.attribute("select_last_index", 0):
        raise unsupported(site.node, "picks the last of equal values")
    find = torch.argmax if site.node.op == "ArgMax" else torch.argmin
    return lambda x: find(x, axis, keepdim=keep)


def _cumsum(site: Site) -> Callable[..., Tensor]:
    axis = (site.integers(1) or (0,))[0]
    if site.attribute("exclusive", 0) or site.attribute("reverse", 0):
        raise unsupported(site.node, "sums backwards or leaves the first out")
    return lambda x: torch.cumsum(x, axis)


def _lp(site: Site) -> Callable[..., Tensor]:
    axis, order = site.axis(-1), site.attribute("p", 2)

    def normalise(x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, order, dim=axis, keepdim=True)
        return x / torch.where(norm == 0, torch.ones_like(norm), norm)

    return normalise


def _einsum(site: Site) -> Callable[..., Tensor]:
    equation = site.attribute("equation", "")
    return lambda *terms: torch.einsum(equation, *terms)


def _gemm(site: Site) -> Callable[..., Tensor]:
    alpha, beta = site.attribute("alpha", 1.0), site.attribute("beta", 1.0)
    first, second = site.attribute("transA", 0), site.attribute("transB", 0)

    def multiply(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = alpha * ((a.T if first else a) @ (b.T if second else b))
        return product if c is None else product + beta * c

    return multiply


OF_FIRST: Mapping[str, Callable[[Site], Callable[..., Tensor]]] = {
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "ArgMax": _extreme,
    "ArgMin": _extreme,
    "CumSum": _cumsum,
    "GlobalAveragePool": _global,
    "GlobalMaxPool": _global,
    "LpNormalization": _lp,
}
"""Functions of the first input alone: the others are static."""

OF_ALL: Mapping[str, Callable[[Site], Callable[..., Tensor]]] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": lambda _: torch.matmul,
}
"""Functions of every given input."""
