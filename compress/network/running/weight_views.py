"""The matrices of weights that layers hold: one view for each type of layer, in an open table.

Whatever works on the weights of a layer, rounds, shares, masks, measures or narrows them, sees
``(O, I)`` matrices and the inputs that they are multiplied with. How a type of layer holds them is
said here once. A layer of no view keeps its weights, and
``compress.network.running.coverage`` names it.

Every layer with a view has ``weight``, its output channels first, and ``bias``, one number for each
of them that is added to the output, or None.
"""

from __future__ import annotations

from typing import TypeGuard

from torch import nn

from compress.network.graph.view.operators.embedding import EmbeddingTable
from compress.network.graph.view.operators.recurrent import Recurrent
from compress.network.graph.view.operators.transposed import TransposedConvolution
from compress.network.running.graph_views import EmbeddingView, RecurrentView, TransposedView
from compress.network.running.plain_views import ConvolutionView, LinearView
from compress.network.running.weight_view import WeightView

Weighted = (
    nn.Conv1d
    | nn.Conv2d
    | nn.Conv3d
    | nn.Linear
    | TransposedConvolution
    | Recurrent
    | EmbeddingTable
)
"""For type checkers, what the types of the table have in common: ``weight`` and ``bias``."""

VIEWS: dict[type[nn.Module], WeightView] = {
    view.kind: view
    for view in (
        LinearView(),
        ConvolutionView(nn.Conv1d),
        ConvolutionView(nn.Conv2d),
        ConvolutionView(nn.Conv3d),
        TransposedView(),
        RecurrentView(),
        EmbeddingView(),
    )
}
"""Every view by its type of layer. A new type of layer is a view and its line here."""


def find_view(part: object) -> WeightView | None:
    """Return the view of a layer's type, or of the nearest that it derives from; None without."""
    return next((VIEWS[kind] for kind in type(part).__mro__ if kind in VIEWS), None)


def view_of(part: nn.Module) -> WeightView:
    """Return the view of a layer. Raises TypeError if its type has none."""
    found = find_view(part)
    if found is None:
        kinds = ", ".join(kind.__name__ for kind in VIEWS)
        raise TypeError(f"no view covers a {type(part).__name__}, expected one of {kinds}")
    return found


def is_weighted(part: object) -> TypeGuard[Weighted]:
    """Return whether a view covers the layer."""
    return find_view(part) is not None
