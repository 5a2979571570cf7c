"""The base of every technique's config."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import BaseModel


class StepConfig(BaseModel, frozen=True, extra="forbid"):
    """The config of one technique, that is one step of a candidate.

    ``technique`` is the name of the technique, by which documents tell configs apart.
    """

    technique: str

    @property
    @abstractmethod
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
