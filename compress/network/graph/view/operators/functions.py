"""Nodes as functions of their inputs, constants among them where they are not static."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from compress.network.graph import roles
from compress.network.graph.names import RESERVED
from compress.network.graph.values import Array
from compress.network.graph.view.operators import elementwise, moving, reducing
from compress.network.graph.view.operators.site import Built, Computed, Operator, Site

_OF_ALL: Mapping[str, Callable[[Site], Callable[..., Computed]]] = {
    **elementwise.BUILT,
    **moving.OF_ALL,
    **reducing.OF_ALL,
}
_OF_FIRST = {**moving.OF_FIRST, **reducing.OF_FIRST, "Clip": elementwise.BUILT["Clip"]}
_OWN = RESERVED | {"function", "places"}
_MASKED = 1e4
"""A constant with values as large hides what it is added to: it is no parameter."""

OPERATORS = frozenset({*_OF_ALL, *_OF_FIRST, *elementwise.FIXED, "Reshape"})
"""Every operator that has a function."""


def build(site: Site) -> Built:
    """The function of a node. Raises InvalidNetwork for a form that torch does not have."""
    if site.node.op == "Reshape":
        return _reshape(site)
    if site.node.op == "Slice" and moving.slices_by_sizes(site):
        return _of_given(site, moving.slice_by_sizes(site))
    if site.node.op in _OF_FIRST:
        return Built(Operator(_OF_FIRST[site.node.op](site)), reads=(0,))
    return of_all(site)


def of_all(site: Site) -> Built:
    """A function of every input that is given; constants become its parameters and buffers."""
    op = site.node.op
    return _of_given(site, elementwise.FIXED[op] if op in elementwise.FIXED else _OF_ALL[op](site))


def _of_given(site: Site, function: Callable[..., Computed]) -> Built:
    given = [place for place in range(len(site.node.inputs)) if site.has(place)]
    fixed = {place: found for place in given if (found := site.constant(place)) is not None}
    names = _names([site.node.inputs[place] for place in fixed])
    by_place = dict(zip(fixed, names, strict=True))
    operator = Operator(function, tuple(by_place.get(place) for place in given))
    for place, name in by_place.items():
        _register(operator, name, fixed[place], trained=_is_trained(site, place, fixed[place]))
    return Built(operator, reads=tuple(place for place in given if place not in fixed))


def _reshape(site: Site) -> Built:
    if site.constant(1) is None:
        return Built(Operator(moving.reshape_to_computed, (None, None)), reads=(0, 1))
    target = moving.reshape_target(site)
    return Built(
        Operator(moving.reshaping(target, rank=site.rank())), reads=(0,), statics={1: target}
    )


def _register(operator: Operator, name: str, values: Array, *, trained: bool) -> None:
    held = torch.from_numpy(np.array(values, order="C", copy=True))
    if trained:
        operator.register_parameter(name, nn.Parameter(held))
    else:
        operator.register_buffer(name, held)


def _is_trained(site: Site, place: int, values: Array) -> bool:
    """Whether a constant is a free parameter: floats behind a layer, not one alone, no mask."""
    learns = roles.roles(site.node)[place].is_trained and site.is_behind_layers
    is_many = values.dtype == np.float32 and values.size > 1
    return learns and is_many and bool((np.abs(values) < _MASKED).all())


def _names(tensors: list[str]) -> list[str]:
    """An attribute for each: the last part of its name, with a number where that is taken."""
    found: list[str] = []
    for tensor in tensors:
        part = re.sub(r"\W", "_", re.split(r"[./]", tensor)[-1], flags=re.ASCII).lstrip("_")
        name = f"{part or 'constant'}_" if part in _OWN or not part else part
        while name in found:
            name += "_"
        found.append(name)
    return found
