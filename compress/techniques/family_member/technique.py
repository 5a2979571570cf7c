"""The description of ``family_member``."""

from __future__ import annotations

from dataclasses import fields as fields_of

from compress.network.member import Shape
from compress.techniques.description.costs import Costs, Fields, FieldValues
from compress.techniques.description.technique import Technique
from compress.techniques.family_member.config import FamilyMember

_SHAPE = tuple(field.name for field in fields_of(Shape))


class _Costs(Costs):
    """Members are laid out like any network of their family, so their counts are exact."""

    def member(self, fields: Fields) -> Shape:
        """Return the member of that shape."""
        return Shape(**{name: fields[name] for name in _SHAPE})

    def smallest_member(self, values: FieldValues) -> Shape:
        """Return the narrowest, shallowest, plainest member; its family knows the smallest cell."""
        sides = [side for side in values("resolution") if side]
        return Shape(
            width=min(values("width")),
            depth=int(min(values("depth"))),
            kernel=int(min(values("kernel"))),
            expansion=min(values("expansion")),
            resolution=int(min(sides, default=0)),
            excitation=min(values("excitation")),
        )

    def largest_side(self, values: FieldValues) -> int:
        """Return the largest resolution."""
        return int(max(values("resolution"), default=0))


TECHNIQUE = Technique(
    name="family_member",
    config=FamilyMember,
    summary="Start from a narrower, shallower member of the network's own family.",
    needs_members=True,
    acts_on=frozenset({"channels"}),
    disabled={"width": 1.0, "depth": 64},
    costs=_Costs(),
)
