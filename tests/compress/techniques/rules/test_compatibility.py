"""Which techniques go together, which fields count, and what a candidate is without the rest."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.description.conditions import When
from compress.techniques.description.rules import Relation
from compress.techniques.rules import canonical, compatibility, conditional_fields
from compress.values.knobs import Searchable

NAMES = [technique.name for technique in registry.TECHNIQUES]
CODEBOOKS = {"technique": "weight_sharing", "index_bits": 3}
HALVES = {"technique": "quantization", "weight_bits": 16, "activations": "float"}


def candidate(*steps: dict[str, Any]) -> Candidate:
    return Candidate.model_validate({"steps": steps})


def quantization(**fields: Any) -> dict[str, Any]:
    return {"technique": "quantization", **fields}


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return candidate(*one).digest() == candidate(*other).digest()


def parts() -> list[When]:
    conditions = [rule.when for rule in conditional_fields.APPLIES]
    conditions += [refused.beside for refused in conditional_fields.REFUSED]
    conditions += [relation.unless for relation in compatibility.RELATIONS]
    found = [part for condition in conditions for alternative in condition for part in alternative]
    return found + [refused.value for refused in conditional_fields.REFUSED]


def test_every_pair_of_techniques_has_exactly_one_relation_in_the_order_of_the_catalog() -> None:
    pairs = [(relation.first, relation.second) for relation in compatibility.RELATIONS]
    assert sorted(pairs) == sorted(combinations(NAMES, 2))


def test_every_relation_says_why_in_a_sentence() -> None:
    for relation in compatibility.RELATIONS:
        assert relation.why.endswith(".")
        assert len(relation.why.split()) >= 5


def test_what_a_technique_decides_are_fields_of_the_other_and_a_rule_carries_it_out() -> None:
    idle = {rule.field for rule in conditional_fields.APPLIES}
    refused = {each.value.field for each in conditional_fields.REFUSED}
    deciding = [each for each in compatibility.RELATIONS if each.kind == "decides"]
    assert len(deciding) == 2
    for relation in deciding:
        fields = {f"{relation.second}.{field}" for field in relation.fields}
        assert fields
        assert fields <= idle or fields <= refused
        assert set(relation.fields) <= set(registry.BY_NAME[relation.second].config.model_fields)
        assert relation.unless != ()


def test_every_rule_names_fields_and_values_that_exist() -> None:
    for part in parts():
        technique, field = part.field.split(".")
        config = registry.BY_NAME[technique].config
        assert field in config.model_fields
        accepted = TypeAdapter(config.model_fields[field].annotation)
        for value in (*part.among, *part.not_among):
            assert accepted.validate_python(value, strict=True) == value


def test_every_rule_reads_fields_that_the_rules_before_it_have_dealt_with() -> None:
    order = [rule.field for rule in conditional_fields.APPLIES]
    for place, rule in enumerate(conditional_fields.APPLIES):
        read = {part.field for alternative in rule.when for part in alternative}
        # These two wait for each other: a weight of 0 rules features out before their weight.
        later = read.intersection(order[place + 1 :]) - {"distillation.feature_weight"}
        assert not later, (rule.field, later)


@pytest.mark.parametrize("technique", NAMES)
def test_a_technique_at_its_off_values_has_no_effect(technique: str) -> None:
    config = registry.BY_NAME[technique].config
    off: dict[str, Any] = dict(registry.BY_NAME[technique].disabled)
    for field in off:
        searchable = (m for m in config.model_fields[field].metadata if isinstance(m, Searchable))
        if any(entry.per for entry in searchable):
            off[field] = (off[field],)
    step = {"technique": technique, **off}
    assert (candidate(step).canonical() == Candidate()) == bool(off)


def test_excluding_techniques_are_found_whatever_their_order() -> None:
    never = Relation(first="low_rank", second="sparsity", kind="excludes", why="They fight.")
    assert compatibility.conflict(["sparsity", "quantization", "low_rank"], [never]) == never
    assert compatibility.conflict(["sparsity", "quantization"], [never]) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (quantization(group_size=64), quantization()),
        (quantization(percentile=95), quantization()),
        (quantization(noise_probability=0.9, weight_bits=4), quantization(weight_bits=4)),
        (quantization(edges_8bit=False), quantization()),
        (quantization(training="none"), quantization()),
        (quantization(scheme="affine"), quantization()),
        (
            quantization(activations="float", activation_observer="percentile", percentile=95),
            quantization(activations="float"),
        ),
        (
            quantization(activations="float", bias_correction=False, calibration_images=64),
            quantization(activations="float", bias_correction=False),
        ),
        (
            {"technique": "distillation", "loss": "mse", "temperature": 2.0, "alpha": 3.0},
            {"technique": "distillation", "loss": "mse"},
        ),
        (
            {"technique": "distillation", "features": "hints", "feature_weight": 0.0},
            {"technique": "distillation", "feature_weight": 7.0},
        ),
        (
            {"technique": "sparsity", "sparsity": 0.9, "pattern": "2:4", "scope": "row"},
            {"technique": "sparsity", "pattern": "2:4", "criterion": "lamp"},
        ),
        (
            {"technique": "sparsity", "scope": "layer", "criterion": "lamp"},
            {"technique": "sparsity", "scope": "layer", "calibration_images": 5},
        ),
        (
            {"technique": "low_rank", "weighting": "none", "calibration_images": 5},
            {"technique": "low_rank", "weighting": "none"},
        ),
        ({"technique": "weight_sharing", "calibration_images": 5}, {"technique": "weight_sharing"}),
        (
            HALVES
            | {
                "granularity": "tensor",
                "scheme": "affine",
                "observer": "percentile",
                "percentile": 95.0,
                "rounding": "gptq",
                "training": "none",
                "bias_correction": False,
                "equalise": True,
                "edges_8bit": False,
                "reduced_range": True,
                "calibration_images": 64,
            },
            HALVES,
        ),
    ],
)
def test_fields_that_do_not_count_make_no_other_candidate(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert same([one], [other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (quantization(weight_bits=4, edges_8bit=False), quantization(weight_bits=4)),
        (quantization(layer_bits="conv1=4", training="none"), quantization(layer_bits="conv1=4")),
        (HALVES, quantization(activations="float")),
        (HALVES | {"scale_bits": 16}, HALVES),
        (
            HALVES | {"layer_bits": "conv1=4", "rounding": "gptq"},
            HALVES | {"layer_bits": "conv1=4"},
        ),
        (
            quantization(granularity="group", activations="float", group_size=64),
            quantization(granularity="group", activations="float"),
        ),
        (
            quantization(observer="percentile", percentile=95),
            quantization(observer="percentile"),
        ),
        (
            {"technique": "sparsity", "criterion": "wanda", "calibration_images": 5},
            {"technique": "sparsity", "criterion": "wanda"},
        ),
        (
            {"technique": "distillation", "loss": "decoupled", "alpha": 3.0},
            {"technique": "distillation", "loss": "decoupled"},
        ),
    ],
)
def test_fields_that_count_make_another_candidate(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert not same([one], [other])


def test_codebooks_everywhere_leave_only_activations_to_quantization() -> None:
    assert same(
        [CODEBOOKS, quantization(weight_bits=2, rounding="gptq")], [CODEBOOKS, quantization()]
    )
    assert same([CODEBOOKS, quantization(activations="float", weight_bits=4)], [CODEBOOKS])
    some = CODEBOOKS | {"exclude": "linear"}
    assert not same([some, quantization(weight_bits=2)], [some, quantization()])
    none = CODEBOOKS | {"index_bits": 0}
    assert same([none, quantization(weight_bits=2)], [quantization(weight_bits=2)])


def test_the_later_field_gives_way_where_a_config_would_refuse() -> None:
    found = canonical.accepted(
        {"quantization": {"granularity": "group", "scheme": "affine", "weight_bits": 4}}
    )["quantization"]
    assert (found["granularity"], found["scheme"]) == ("channel", "affine")
    grouped = {"activations": "float", "granularity": "group", "scheme": "affine", "weight_bits": 4}
    found = canonical.accepted({"quantization": grouped})["quantization"]
    assert (found["granularity"], found["scheme"]) == ("group", "symmetric")
    found = canonical.accepted({"quantization": {"weight_bits": 16, "allocation": "sensitivity"}})
    found = found["quantization"]
    assert (found["activations"], found["allocation"]) == ("float", "uniform")
    masked = {"sparsity": {"sparsity": 0.5}, "weight_sharing": {"index_bits": 1}}
    assert canonical.accepted(masked)["weight_sharing"]["index_bits"] == 2
    dense = {"sparsity": {"sparsity": 0.0}, "weight_sharing": {"index_bits": 1}}
    assert canonical.accepted(dense)["weight_sharing"]["index_bits"] == 1


QUANTIZATION = {
    "weight_bits": st.sampled_from([*range(1, 9), 16]),
    "edges_8bit": st.booleans(),
    "activations": st.sampled_from(["int8", "float"]),
    "granularity": st.sampled_from(["channel", "tensor", "group"]),
    "scheme": st.sampled_from(["symmetric", "affine"]),
    "observer": st.sampled_from(["mse", "minmax", "percentile"]),
    "allocation": st.sampled_from(["uniform", "sensitivity"]),
    "extra_bits": st.sampled_from([0.0, 0.25, 0.5]),
    "training": st.sampled_from(["straight_through", "noise", "none"]),
    "layer_bits": st.sampled_from(["", "conv1=8", "conv1=16"]),
}
SHARING = {"index_bits": st.integers(0, 4), "exclude": st.sampled_from(["", "linear"])}
SPARSITY = {
    "sparsity": st.sampled_from([0.0, 0.5]),
    "pattern": st.sampled_from(["", "2:4"]),
    "scope": st.sampled_from(["global", "layer", "row"]),
    "criterion": st.sampled_from(["magnitude", "lamp", "wanda"]),
}
STEPS = st.fixed_dictionaries(
    {"quantization": st.fixed_dictionaries({}, optional=QUANTIZATION)},
    optional={
        "sparsity": st.fixed_dictionaries({}, optional=SPARSITY),
        "weight_sharing": st.fixed_dictionaries({}, optional=SHARING),
    },
)


@settings(deadline=None)
@given(STEPS)
def test_any_combination_becomes_one_that_every_config_accepts(values: dict[str, Any]) -> None:
    found = canonical.accepted(values)
    made = candidate(*({"technique": name, **fields} for name, fields in found.items()))
    assert canonical.accepted(found) == found
    assert made.canonical().canonical() == made.canonical()
    assert made.canonical().digest() == made.digest()


@settings(deadline=None)
@given(STEPS)
def test_what_a_config_accepts_is_kept_but_for_what_does_not_count(values: dict[str, Any]) -> None:
    try:
        made = candidate(*({"technique": n, **values[n]} for n in NAMES if n in values))
    except ValidationError:
        return
    sharing = values.get("weight_sharing", {})
    if sharing.get("index_bits") == 1:
        return
    found = canonical.accepted({step.technique: dict(step) for step in made.configs})
    again = candidate(*({"technique": name, **fields} for name, fields in found.items()))
    assert again.digest() == made.digest()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"technique": "filter_pruning", "ratios": [0.3, 0.3]}, "prune 0.3/0.3"),
        (
            {"technique": "filter_pruning", "scope": "global", "ratio": 0.5, "target": "macs"},
            "prune 0.5 of macs global",
        ),
        (
            {
                "technique": "filter_pruning",
                "ratios": [0.5],
                "importance": "taylor",
                "steps": 3,
                "exclude": "conv1",
            },
            "prune 0.5 by taylor in 3 steps except conv1",
        ),
        ({"technique": "family_member", "width": 0.5, "depth": 2}, "width 0.5 depth 2"),
        ({"technique": "low_rank", "energy": 0.9, "method": "spatial"}, "low rank 0.9 spatial"),
        ({"technique": "distillation"}, "distil T=4 w=0.5"),
        (
            {"technique": "distillation", "loss": "js", "features": "hints", "teacher": "self"},
            "distil T=4 w=0.5 js hints 1 by self",
        ),
        ({"technique": "sparsity", "criterion": "wanda"}, "50% zeros by wanda"),
        ({"technique": "sparsity", "pattern": "2:4"}, "2:4 zeros"),
        ({"technique": "weight_sharing"}, "codebooks of 4 bits"),
        (quantization(weight_bits=4), "w4a8"),
        (quantization(weight_bits=16, activations="float"), "w16af"),
        (
            quantization(weight_bits=4, rounding="gptq", exclude="a, b,c"),
            "w4a8 gptq except a, b, ...",
        ),
        (
            quantization(activations="float", granularity="group", weight_bits=2),
            "w2af per group",
        ),
    ],
)
def test_a_step_is_described_by_what_is_not_as_usual(step: dict[str, Any], words: str) -> None:
    assert candidate(step).describe() == words
