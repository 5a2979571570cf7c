"""A candidate: a network and ordered technique configs. Equal candidates have equal digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, to_jsonable_python

from compress.techniques.family_member.config import FamilyMember
from compress.techniques.registry import BY_NAME, ORDER, TechniqueConfig
from compress.techniques.rules import canonical
from compress.values.knobs import changed_defaults, first_default

_MEMBER = "family_member"


class _Document(BaseModel, extra="forbid"):
    """What to try: at most one config per technique, in the catalog's order.

    No steps at all is the network itself.
    """

    steps: tuple[TechniqueConfig, ...] = ()


class Candidate(BaseModel, frozen=True, extra="forbid"):
    """What to try: a choice of network, then at most one config per technique in order.

    ``network`` is the member of its family to begin with; None is the network itself. Without
    steps, too, that is the baseline. A document has the member as the first of its steps.
    """

    network: FamilyMember | None = None
    steps: tuple[TechniqueConfig, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_network(cls, document: Any) -> Any:
        if not isinstance(document, dict) or "network" in document:
            return document
        steps = document.get("steps")
        if not isinstance(steps, list | tuple) or not steps or not _is_member(steps[0]):
            return document
        return {**document, "network": steps[0], "steps": steps[1:]}

    @model_serializer(mode="wrap")
    def _as_document(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document = write(self)
        network, steps = document.pop("network", None), document.get("steps", ())
        return (
            document if network is None else {**document, "steps": type(steps)([network, *steps])}
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        written = handler.resolve_ref_schema(handler(_Document.__pydantic_core_schema__))
        return {**written, "title": cls.__name__}

    @model_validator(mode="after")
    def _ordered(self) -> Candidate:
        names = [config.technique for config in self.configs]
        ranks = [ORDER[name] for name in names]
        if ranks != sorted(set(ranks)):
            raise ValueError(f"steps must be distinct and in the order {list(ORDER)}, got {names}")
        return self

    @classmethod
    def of_record(cls, document: Mapping[str, Any]) -> Candidate:
        """Read what ``model_dump`` of this version or an older one has written.

        Records hold every field, so a field that a record lacks is newer than it, and has its first
        default there. Raises pydantic's ValidationError for an invalid candidate.
        """
        steps = document.get("steps")
        if not isinstance(steps, list):
            return cls.model_validate(document)
        return cls.model_validate({**document, "steps": [_as_recorded(step) for step in steps]})

    @property
    def configs(self) -> tuple[TechniqueConfig, ...]:
        """The choice of network, if there is one, and the steps: all that knobs can decide."""
        return self.steps if self.network is None else (self.network, *self.steps)

    def canonical(self) -> Candidate:
        """Return the same candidate without steps and field values that have no effect."""
        return self._shorter or self

    @cached_property
    def _shorter(self) -> Candidate | None:
        """The canonical form if it differs; a candidate that held itself could not be compared."""
        configs = self.configs
        values = {config.technique: dict(config) for config in configs if config.has_effect}
        counted = canonical.without_inactive(values)
        found = (_with(config, counted.get(config.technique)) for config in configs)
        kept = tuple(config for config in found if config and config.has_effect)
        return None if kept == configs else Candidate(steps=kept)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of the canonical form: equal digests are equal networks.

        It covers each technique's name and the fields that differ from their first defaults. So
        neither a field that a later version adds nor a default that it changes alters the digest of
        a candidate.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        document = {"steps": [_deviations(step) for step in self.canonical().configs]}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> str:
        """Describe in one line of a table what was done."""
        return " + ".join(step.words for step in self.canonical().configs) or "baseline"


def _is_member(config: Any) -> bool:
    if isinstance(config, dict):
        return config.get("technique") == _MEMBER
    return isinstance(config, FamilyMember)


def _with(step: TechniqueConfig, values: dict[str, Any] | None) -> TechniqueConfig | None:
    """Return the step with these values; None if there are none."""
    if values is None or values == dict(step):
        return None if values is None else step
    return type(step).model_validate(values)


def _as_recorded(step: Any) -> Any:
    """Fill in the first default of every field that the step lacks, if its default has changed."""
    technique = BY_NAME.get(str(step.get("technique"))) if isinstance(step, dict) else None
    return step if technique is None else changed_defaults(technique.config) | step


def _deviations(model: BaseModel) -> dict[str, Any]:
    """Return tags and all fields that differ from their first defaults, as JSON."""
    fields = type(model).model_fields
    return {
        name: _plain(value)
        for name, value in model
        if _is_tag(fields[name]) or value != first_default(fields[name])
    }


def _is_tag(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _plain(value: Any) -> Any:
    match value:
        case BaseModel():
            return _deviations(value)
        case tuple() | list():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return to_jsonable_python(value)
