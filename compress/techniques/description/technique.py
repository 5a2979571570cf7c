"""The description of a technique: everything other rooms need to know, in one object per folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from compress.techniques.description.config import StepConfig
from compress.techniques.description.costs import UNCHANGED, Costs
from compress.techniques.description.rules import Applies, Refused, Relation
from compress.values.knobs import Scalar

Part = Literal["channels", "words", "weights", "activations", "training", "output"]
_SIZED: frozenset[Part] = frozenset({"channels", "words", "weights", "output"})
"""What changes counts or bytes: who acts on it says how, or bounds would be wrong in silence."""


class IncompleteTechnique(TypeError):
    """A technique lacks a part, or one of its parts names something that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One technique. Its folder holds ``config.py``, ``apply.py`` and this, in ``technique.py``.

    ``disabled`` are values with which it does nothing, empty if it always does something.
    ``conditions`` are in an order in which every rule reads fields that earlier rules have dealt
    with; those on what earlier techniques decide come first. ``refused`` are combinations of
    values that a config or a step refuses, although it allows each of them alone.

    It *composes* with an earlier technique unless ``exceptions`` declare another relation.
    ``composes`` has one sentence for the documentation about two techniques that compose. A
    technique that ``needs_members`` works only on networks of families, and one that
    ``needs_factors`` only on layers that thinner ones may replace.

    Raises IncompleteTechnique, which names the part that is missing.
    """

    name: str
    config: type[StepConfig]
    summary: str
    acts_on: frozenset[Part]
    disabled: Mapping[str, Scalar]
    conditions: tuple[Applies, ...] = ()
    refused: tuple[Refused, ...] = ()
    exceptions: tuple[Relation, ...] = ()
    composes: Mapping[str, str] = field(default_factory=dict)
    costs: Costs = UNCHANGED
    needs_members: bool = False
    needs_factors: bool = False

    def __post_init__(self) -> None:
        for lack in (self._of_words(), self._of_config(), self._of_folder(), self._of_costs()):
            if lack:
                raise IncompleteTechnique(f"technique {self.name!r}: {lack}")

    @property
    def apply(self) -> Callable[..., Any]:
        """The function of ``apply.py``; it is imported, and torch with it, on first use.

        It takes a CompressedModel, the technique's own config and a TrialContext, and returns a
        CompressedModel. It raises InvalidCandidate if the step does not fit the network.
        """
        found = getattr(import_module(f"{self._folder}.apply"), "apply", None)
        if found is None:
            raise IncompleteTechnique(f"technique {self.name!r}: apply.py has no function apply")
        return found

    @property
    def has_costs(self) -> bool:
        """Whether it changes any count."""
        return self.costs is not UNCHANGED

    @property
    def _folder(self) -> str:
        return self.config.__module__.rpartition(".")[0]

    def _of_words(self) -> str:
        if not self.summary.endswith("."):
            return f"summary is no sentence: {self.summary!r}"
        return "" if self.acts_on else f"acts_on is empty: name some of {list(get_args(Part))}"

    def _of_config(self) -> str:
        fields = self.config.model_fields
        missing = sorted(getattr(self.config, "__abstractmethods__", ()))
        if missing:
            return f"its config lacks {', '.join(missing)}"
        if fields["technique"].default != self.name:
            return f"its config's field technique is not {self.name!r}"
        described = {name for name, info in fields.items() if info.description} | {"technique"}
        silent = [name for name in fields if name not in described]
        if silent:
            return f"its config's fields {silent} lack a description"
        odd = [name for name in self.disabled if name not in fields]
        return f"disabled names fields {odd}, which its config lacks" if odd else ""

    def _of_folder(self) -> str:
        is_there = find_spec(f"{self._folder}.apply") is not None
        return "" if is_there else f"its folder {self._folder} lacks apply.py"

    def _of_costs(self) -> str:
        if self.has_costs or not self.acts_on & _SIZED:
            return ""
        return f"it acts on {', '.join(sorted(self.acts_on & _SIZED))} and lacks costs"
