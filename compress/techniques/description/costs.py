"""Predict from its fields what a technique does to the size of a network, before it is built.

The search counts candidates with it, and refuses constraints that nothing can meet. It is asked in
two ways. An *estimate* is asked for the fields of one candidate. A *bound* is asked for the values
that every field may take in a space, and must hold for every candidate: a lower bound that is too
low is only weak, one that is too high refuses candidates that were possible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from compress.network.member import Shape
from compress.network.structure.narrowing import Narrowing

FLOAT_BITS = 32.0
BYTE_BITS = 8.0
Fields = Mapping[str, Any]
"""Every field of a config and its value."""
FieldValues = Callable[[str], Sequence[Any]]
"""The values that a field may take; where the technique is not listed, those that disable it."""


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """The size of a layer: ``shape`` is ``(O, I, *kernel)``, ``weights`` their number.

    The first layer reads the image, the last one returns the classes. Layers that are not trained,
    shortcuts of zeros and ones, have multiply-accumulates and no parameters.
    """

    shape: tuple[int, ...]
    weights: int
    is_first: bool
    is_last: bool
    is_trained: bool


LayerBound = Callable[[LayerSize], LayerSize]


class Costs:
    """The costs of a technique that changes no counts; subclasses override what they change."""

    is_exact: ClassVar[bool] = True
    """Whether it keeps every weight, so that parameters and MACs are known: ``share`` is 1."""

    @property
    def changes_layers(self) -> bool:
        """Whether a candidate may have other layers, and so other parameters and MACs."""
        return not self.is_exact or type(self).member is not Costs.member

    @property
    def changes_runs(self) -> bool:
        """Whether the network may run more than once for one image."""
        return type(self).runs is not Costs.runs

    @property
    def loses_channels(self) -> bool:
        """Whether ``kept`` asks for the groups of channels of a network."""
        return type(self).kept is not Costs.kept

    def member(self, fields: Fields) -> Shape | None:
        """Return the member of the family that a candidate begins with; None: the network."""
        return None

    def share(self, fields: Fields, stage: int | None) -> float:
        """Estimate the share of a stage's weights and MACs that remains, above 0 and at most 1.

        ``stage`` is None for layers of the stem and of the head.
        """
        return 1.0

    def knows_widths(self, values: FieldValues) -> bool:
        """Return whether ``kept`` is known for every candidate of a space."""
        return self.is_exact

    def kept(self, fields: Fields, narrowing: Narrowing) -> Mapping[str, int] | None:
        """Return how many channels stay of the groups that lose some, by their roots.

        None if only the weights can tell: then ``share`` estimates what remains.
        """
        return {} if self.is_exact else None

    def rows(self, fields: Fields, words: int) -> int:
        """Return the rows that stay of a table of so many words."""
        return words

    def bits(self, fields: Fields) -> float:
        """Estimate the bits of a weight in the file, without entropy coding; at most 32."""
        return FLOAT_BITS

    def multiplies_integers(self, fields: Fields) -> bool:
        """Return whether layers multiply integers of 8 bits, not floats."""
        return False

    def may_multiply_integers(self, values: FieldValues) -> bool:
        """Return whether they may, for any candidate of a space."""
        return False

    def nonzero(self, fields: Fields) -> float:
        """Estimate the share of weights that are not zero, from 0 to 1."""
        return 1.0

    def runs(self, fields: Fields) -> int:
        """Return how often the network runs for one image."""
        return 1

    def smallest_member(self, values: FieldValues) -> Shape | None:
        """Return the smallest member that the space may begin with; None: it does not say."""
        return None

    def largest_side(self, values: FieldValues) -> int:
        """Return the largest side in pixels that images are resized to; 0: they are not resized."""
        return 0

    def narrowing(self, values: FieldValues) -> LayerBound | None:
        """Bound the size of a layer from below; None if layers keep all of their weights."""
        return None

    def chooses_values(self, values: FieldValues) -> bool:
        """Whether weights in the file may be anything but floats, whose code is shorter."""
        return False

    def run_range(self, values: FieldValues) -> tuple[int, int]:
        """Return the least and the most runs for one image."""
        return (1, 1)


UNCHANGED = Costs()
"""Of a technique that changes no count."""
