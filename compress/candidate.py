"""A candidate: ordered technique configs on a network. Equal candidates have equal digests."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, model_validator

from compress.catalog import ORDER, TechniqueConfig


class Candidate(BaseModel, frozen=True, extra="forbid"):
    """What to try: at most one config per technique, in the catalog's order.

    No steps at all is the network itself.
    """

    steps: tuple[TechniqueConfig, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Candidate:
        ranks = [ORDER[step.technique] for step in self.steps]
        if ranks != sorted(set(ranks)):
            names = [step.technique for step in self.steps]
            raise ValueError(f"steps must be distinct and in the order {list(ORDER)}, got {names}")
        return self

    def canonical(self) -> Candidate:
        """The same candidate without the steps that cannot change anything."""
        return Candidate(steps=tuple(step for step in self.steps if step.has_effect))

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form: equal digests mean equal networks under a seed."""
        document = self.canonical().model_dump(mode="json")
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> str:
        """One line for a table: what was done, in words."""
        return " + ".join(_describe(step) for step in self.canonical().steps) or "baseline"


def _describe(step: TechniqueConfig) -> str:
    match step.technique:
        case "family_member":
            depth = f" depth {step.depth}" if step.depth < 64 else ""
            return f"width {step.width:g}{depth}"
        case "filter_pruning":
            return "prune " + "/".join(f"{ratio:g}" for ratio in step.ratios)
        case "distillation":
            return f"distil T={step.temperature:g} w={step.weight:g}"
        case "quantization":
            return f"w{step.weight_bits}a8"
