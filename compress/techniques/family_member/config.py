"""Config of ``family_member``: a narrower and shallower member of the baseline's family."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from compress.knobs import Choice, Searchable


class FamilyMember(BaseModel, frozen=True, extra="forbid"):
    """Width and depth of the student, relative to the network it is cut from."""

    technique: Literal["family_member"] = "family_member"
    width: Annotated[float, Searchable(default=Choice(choices=(0.5, 0.75, 1.0)))] = Field(
        default=1.0, gt=0, le=1, description="Share of the channels of every stage that stay."
    )
    depth: Annotated[int, Searchable(default=Choice(choices=(1, 2, 3)))] = Field(
        default=64,
        ge=1,
        le=64,
        description="Most blocks a stage keeps; the first block of a stage always stays.",
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.width < 1.0 or self.depth < 64

    @property
    def words(self) -> str:
        """The step in a few words."""
        return f"width {self.width:g}" + (f" depth {self.depth}" if self.depth < 64 else "")
