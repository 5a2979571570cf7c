from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.network.families.catalog import Architecture
from compress.network.families.residual.config import Residual
from compress.techniques.candidate import Candidate
from compress.techniques.description.rules import Relation
from search.errors import InvalidSpace, TechniqueDoesNotFit
from search.queue import untried
from search.space import space, validation
from search.space.space import Space
from tests import factories

NETWORK = Residual(widths=(16, 32, 64), depths=(2, 3, 2))
ALL = {"family_member": {}, "filter_pruning": {}, "distillation": {}, "quantization": {}}


def build(
    techniques: dict[str, object], *, network: Architecture = NETWORK, seed: int = 0
) -> Space:
    return space.build(factories.spec(techniques=techniques, seed=seed), factories.outline(network))


def one(name: str, found: Space) -> dict[str, object]:
    return next(k.schema().model_dump(exclude_defaults=True) for k in found.knobs if k.name == name)


def test_every_searchable_field_becomes_a_knob_in_the_order_of_the_catalog() -> None:
    names = [knob.name for knob in build(dict(reversed(ALL.items()))).knobs]
    assert names == [
        "family_member.width",
        "family_member.depth",
        "filter_pruning.ratios.0",
        "filter_pruning.ratios.1",
        "filter_pruning.ratios.2",
        "distillation.temperature",
        "distillation.weight",
        "quantization.weight_bits",
        "quantization.edges_8bit",
        "quantization.short_scales",
    ]


def test_default_depths_are_cut_to_those_of_the_network() -> None:
    shallow = Residual(widths=(8, 8), depths=(1, 2))
    depth = one("family_member.depth", build(ALL, network=shallow))
    assert depth == {"name": "family_member.depth", "kind": "categorical", "choices": (1, 2)}


@pytest.mark.parametrize(
    ("field", "choices"),
    [("resolution", [8, 0]), ("weights", ["fresh", "inherited"])],
)
def test_members_of_whole_width_and_depth_still_differ_in_all_else(
    field: str, choices: list[object]
) -> None:
    deep = Residual(widths=(4, 4), depths=(64, 1))
    whole = {"width": 1.0, "depth": 64}
    found = build({"family_member": whole | {field: choices}}, network=deep)
    assert one(f"family_member.{field}", found)["choices"] == tuple(choices)
    member = found.candidate({f"family_member.{field}": choices[0]}).network
    assert member is not None
    assert getattr(member, field) == choices[0]


def test_a_range_with_a_step_ends_on_its_grid_without_binary_noise() -> None:
    found = build({"filter_pruning": {"ratios": {"low": 0.1, "high": 0.75, "step": 0.1}}})
    knob = found.knobs[0]
    assert (knob.kind, knob.low, knob.high, knob.step) == ("float", 0.1, 0.7, 0.1)
    assert space.grid.values(knob) == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def test_a_single_value_is_a_fixed_knob_and_part_of_every_candidate() -> None:
    found = build({"quantization": {"weight_bits": 4, "calibration_images": 64}})
    assert [knob.kind for knob in found.knobs] == ["fixed"] * 4
    assert found.turning == ()
    step = found.candidate({}).configs[0].model_dump()
    assert (step["weight_bits"], step["calibration_images"]) == (4, 64)
    assert found.num_candidates == 1


def test_a_whole_number_gets_a_whole_range() -> None:
    found = build({"filter_pruning": {"round_to": {"low": 2, "high": 9, "step": 3}}})
    knob = next(k for k in found.knobs if k.name == "filter_pruning.round_to")
    assert (knob.kind, knob.low, knob.high, knob.step) == ("int", 2, 8, 3)
    assert space.grid.values(knob) == (2, 5, 8)


@pytest.mark.parametrize(
    ("techniques", "words"),
    [
        (
            {"filter_pruning": {"ratios": {"low": 0.0, "high": 0.99}}},
            ["filter_pruning", "0.99", "0.95"],
        ),
        (
            {"filter_pruning": {"ratios": [0.1, -0.5]}},
            ["ratios", "-0.5", "greater than or equal to 0"],
        ),
        (
            {"quantization": {"weight_bits": [8, 9]}},
            ["quantization", "weight_bits", "9", "less than or equal to 8"],
        ),
        ({"quantization": {"observer": {"low": 2, "high": 8}}}, ["observer", "choices"]),
        ({"quantization": {"layer_bits": ["conv1=9"]}}, ["layer_bits", "conv1=9", "1 to 8 bits"]),
        ({"quantization": {"group_size": 5000}}, ["group_size", "5000", "1024"]),
        ({"quantization": {"weight_bits": ["8"]}}, ["weight_bits", "'8'"]),
        ({"distillation": {"temperature": {"low": 0.5, "high": 4}}}, ["temperature", "0.5", "1"]),
        ({"filter_pruning": {"round_to": {"low": 1.5, "high": 4}}}, ["round_to", "whole"]),
        ({"filter_pruning": {"importance": ["l1", "l3"]}}, ["importance", "l3", "'l1', 'l2'"]),
        ({"family_member": {"width": [0.5, 1.5]}}, ["width", "1.5", "less than or equal to 1"]),
        ({"distillation": {"weight": {"low": 0, "high": 1, "step": 1e-9}}}, ["weight", "step"]),
    ],
)
def test_a_range_outside_the_limits_names_technique_knob_value_and_limit(
    techniques: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(InvalidSpace) as caught:
        build(techniques)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_more_blocks_than_the_network_has_do_not_fit() -> None:
    with pytest.raises(TechniqueDoesNotFit, match=r"asks for 5 blocks.*at most 3"):
        build({"family_member": {"depth": [1, 5]}})


def test_the_whole_member_of_the_family_is_no_step() -> None:
    found = build({"family_member": {"width": [0.5, 1.0], "depth": [1, 2, 3]}})
    assert found.candidate({"family_member.width": 1.0, "family_member.depth": 3}) == Candidate()
    narrow = found.candidate({"family_member.width": 0.5, "family_member.depth": 3})
    assert narrow.describe() == "width 0.5 depth 3"
    assert found.candidate({"family_member.width": 1, "family_member.depth": 3}) == Candidate()


def test_whole_and_real_spellings_of_a_value_are_one_candidate() -> None:
    found = build({"family_member": {"width": [0.5, 1], "depth": [1, 2]}})
    whole = found.candidate({"family_member.width": 1, "family_member.depth": 2})
    real = found.candidate({"family_member.width": 1.0, "family_member.depth": 2})
    assert whole.digest() == real.digest()


def test_candidates_are_counted_once_however_they_are_spelled() -> None:
    assert build({"quantization": {}}).num_candidates == 2
    assert (
        build(
            {"distillation": {"weight": [0.0, 0.5], "temperature": [1.0, 2.0, 4.0]}}
        ).num_candidates
        == 4
    )
    assert build({"family_member": {}}).num_candidates == 9
    assert math.isinf(build({"distillation": {"weight": {"low": 0, "high": 1}}}).num_candidates)
    assert build({"filter_pruning": {}, "quantization": {}}).num_candidates == 8**3 * 2


def test_missing_and_unknown_knobs_are_refused() -> None:
    found = build({"quantization": {}})
    with pytest.raises(InvalidSpace, match=r"quantization\.weight_bits"):
        found.candidate({})
    with pytest.raises(InvalidSpace, match="bogus"):
        found.candidate({"quantization.weight_bits": 8, "bogus": 1})


def test_controls_are_uniform_candidates_of_the_space() -> None:
    found = build(ALL)
    described = {name: found.candidate(params).describe() for name, params in found.controls()}
    assert list(described) == ["uniform 8-bit", "uniform pruning", "narrower member", "random"]
    assert described["uniform 8-bit"] == "distil T=4 w=0.5 + w8a8"
    assert described["uniform pruning"] == "prune 0.5/0.5/0.5 + distil T=4 w=0.5 + w8a8"
    assert described["narrower member"] == "width 0.5 depth 3 + distil T=4 w=0.5 + w8a8"


def test_controls_stay_inside_narrow_ranges_and_are_distinct() -> None:
    found = build({"filter_pruning": {"ratios": [0.1, 0.2]}, "quantization": {"weight_bits": 4}})
    digests = [found.candidate(params).digest() for _, params in found.controls()]
    assert len(digests) == len(set(digests)) >= 2
    for _, params in found.controls():
        assert set(params.values()) <= {0.1, 0.2}


def test_the_same_seed_gives_the_same_controls() -> None:
    assert build(ALL, seed=5).controls() == build(ALL, seed=5).controls()
    assert build(ALL, seed=5).controls() != build(ALL, seed=6).controls()


def test_unseen_candidates_are_found_until_there_are_none() -> None:
    found = build({"family_member": {}, "quantization": {}})
    seen: list[str] = []
    while params := untried.find(found, seen, seed=(3, len(seen))):
        seen.append(found.candidate(params).digest())
    assert len(seen) == len(set(seen)) == found.num_candidates == 18


def test_in_an_endless_space_there_is_always_an_unseen_candidate() -> None:
    found = build({"distillation": {"temperature": {"low": 1, "high": 8, "log": True}}})
    params = untried.find(found, (), seed=(1,))
    assert params is not None
    assert 1 <= params["distillation.temperature"] <= 8


@given(st.integers(0, 2**31 - 1))
def test_any_point_of_the_default_space_is_a_valid_candidate(seed: int) -> None:
    found = build(ALL)
    chosen = random.Random(seed)
    params = {k.name: chosen.choice(space.grid.values(k)) for k in found.turning}
    candidate = found.candidate(params)
    assert candidate == candidate.canonical()
    assert (
        Candidate.model_validate(candidate.model_dump(mode="json")).digest() == candidate.digest()
    )


@pytest.mark.parametrize(
    ("techniques", "resting"),
    [
        ({"distillation": {"weight": 0}}, {"distillation.temperature": 4.0}),
        ({"distillation": {"loss": "mse"}}, {"distillation.temperature": 4.0}),
        (
            {"filter_pruning": {"scope": "global", "ratio": {"low": 0.1, "high": 0.5}}},
            {f"filter_pruning.ratios.{stage}": 0.0 for stage in range(3)},
        ),
        ({"sparsity": {"pattern": "2:4"}}, {"sparsity.sparsity": 0.5}),
        (
            {"weight_sharing": {"index_bits": 0, "normalise": ["channel", "layer"]}},
            {"weight_sharing.normalise": "channel"},
        ),
        (
            {"weight_sharing": {"index_bits": [3, 4]}, "quantization": {"weight_bits": [2, 3]}},
            {"quantization.weight_bits": 8},
        ),
    ],
)
def test_a_knob_that_can_never_count_is_not_given_to_the_sampler(
    techniques: dict[str, object], resting: dict[str, object]
) -> None:
    found = build(techniques)
    fixed = {knob.name: knob.choices[0] for knob in found.knobs if knob.kind == "fixed"}
    assert resting.items() <= fixed.items()
    assert found.num_candidates > 0


@pytest.mark.parametrize(
    ("techniques", "words"),
    [
        ({"quantization": {"group_size": [16, 64]}}, "group_size .* only if granularity is group"),
        ({"quantization": {"percentile": 95.0}}, "percentile .* only if observer is percentile"),
        ({"filter_pruning": {"ratio": [0.3, 0.5]}}, "ratio .* only if scope is not stage"),
        ({"filter_pruning": {"ratio": 0.5}}, "ratio .* leave ratio out"),
        ({"distillation": {"weight": 0, "temperature": [2, 4]}}, "temperature .* weight is above"),
        ({"sparsity": {"pattern": "2:4", "sparsity": 0.7}}, "sparsity .* only if pattern is empty"),
    ],
)
def test_what_was_asked_for_and_counts_for_nothing_is_refused(
    techniques: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidSpace, match=words):
        build(techniques)


def test_a_default_may_be_written_where_it_counts_for_nothing() -> None:
    assert build({"quantization": {"group_size": 32, "percentile": 99.9}}).num_candidates == 2


@pytest.mark.parametrize(
    ("techniques", "knob"),
    [
        ({"distillation": {"weight": [0, 0.5]}}, "distillation.temperature"),
        ({"weight_sharing": {}, "quantization": {}}, "quantization.weight_bits"),
        (
            {"weight_sharing": {"index_bits": 4, "exclude": "linear"}, "quantization": {}},
            "quantization.weight_bits",
        ),
        (
            {
                "quantization": {
                    "granularity": ["channel", "group"],
                    "activations": "float",
                    "group_size": [16, 64],
                }
            },
            "quantization.group_size",
        ),
    ],
)
def test_a_knob_that_counts_somewhere_turns(techniques: dict[str, object], knob: str) -> None:
    assert knob in {each.name for each in build(techniques).turning}


def test_techniques_that_exclude_each_other_are_both_named_with_the_way_out() -> None:
    never = Relation(first="low_rank", second="sparsity", kind="excludes", why="They fight.")
    with pytest.raises(TechniqueDoesNotFit, match=r"low_rank and sparsity.*They fight.*Leave one"):
        validation.check_pairs(("low_rank", "sparsity"), [never])


def test_all_seven_techniques_may_be_in_one_job() -> None:
    names = ("family_member", "filter_pruning", "low_rank", "distillation", "sparsity")
    found = build({name: {} for name in (*names, "weight_sharing", "quantization")})
    assert len(found.techniques) == 7
    assert found.num_candidates > 1_000_000


@pytest.mark.parametrize(
    ("techniques", "error", "words"),
    [
        (
            {"quantization": {"granularity": ["channel", "group"]}},
            InvalidSpace,
            ["quantization.granularity", "'group'", "quantization.activations", "'float'"],
        ),
        (
            {
                "quantization": {
                    "granularity": "group",
                    "activations": "float",
                    "scheme": "affine",
                }
            },
            InvalidSpace,
            ["quantization.scheme", "'affine'", "granularity", "leave 'affine' out"],
        ),
        (
            {"quantization": {"extra_bits": {"low": 0, "high": 0.5}}},
            InvalidSpace,
            ["extra_bits", "0.5", "allocation", "'sensitivity'"],
        ),
        (
            {
                "quantization": {
                    "weight_bits": 8,
                    "allocation": "sensitivity",
                    "extra_bits": [0.25],
                }
            },
            InvalidSpace,
            ["extra_bits", "0.25", "weight_bits", "at most 7"],
        ),
        (
            {"sparsity": {"sparsity": [0.5, 0.8]}, "weight_sharing": {"index_bits": [1, 2]}},
            TechniqueDoesNotFit,
            ["weight_sharing.index_bits", "1", "sparsity.sparsity", "at least 2"],
        ),
    ],
)
def test_a_value_that_can_never_stand_is_refused_with_the_way_out(
    techniques: dict[str, object], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        build(techniques)
    assert all(word in str(caught.value) for word in words), str(caught.value)


MIXED = {
    "sparsity": {"pattern": ["", "2:4"], "criterion": ["magnitude", "lamp"]},
    "weight_sharing": {"index_bits": [0, 1, 3], "exclude": ["", "linear"]},
    "quantization": {
        "weight_bits": [1, 4, 8],
        "granularity": ["channel", "group"],
        "activations": ["int8", "float"],
        "scheme": ["symmetric", "affine"],
        "allocation": ["uniform", "sensitivity"],
        "extra_bits": [0.0, 0.5],
    },
}


@given(st.integers(0, 2**31 - 1))
def test_no_point_of_a_space_with_refused_combinations_is_refused(seed: int) -> None:
    found = build(MIXED)
    chosen = random.Random(seed)
    params = {knob.name: chosen.choice(space.grid.values(knob)) for knob in found.turning}
    steps = {step.technique: step for step in found.candidate(params).configs}
    quantization = steps.get("quantization")
    if quantization and params["quantization.activations"] == "int8":
        assert quantization.granularity == "channel"
    if "weight_sharing" in steps and "sparsity" in steps:
        assert steps["weight_sharing"].index_bits >= 2


def test_what_gives_way_is_counted_once() -> None:
    found = build(
        {
            "quantization": {k: MIXED["quantization"][k] for k in ("granularity", "activations")}
            | {"weight_bits": 4}
        }
    )
    assert found.num_candidates == 3
    decided = build({"weight_sharing": {"index_bits": [0, 4]}, "quantization": {}})
    assert decided.num_candidates == 3


@pytest.mark.parametrize(
    ("techniques", "words"),
    [
        (
            {"low_rank": {"exclude": ["", "conv9"]}},
            ["low_rank.exclude", "'conv9'", "layer1.0.conv1"],
        ),
        (
            {"quantization": {"layer_bits": ["conv1=8, layer4.*=3"]}},
            ["quantization.layer_bits", "'layer4.*'", "linear"],
        ),
    ],
)
def test_a_pattern_that_names_no_layer_of_the_network_is_refused(
    techniques: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(TechniqueDoesNotFit) as caught:
        build(techniques)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_patterns_may_name_layers_that_some_candidates_have_lost() -> None:
    found = build(
        {
            "family_member": {"depth": [1, 2]},
            "low_rank": {},
            "quantization": {"exclude": ["", "layer2.2.*"], "layer_bits": "linear=8"},
        }
    )
    assert "quantization.exclude" in {knob.name for knob in found.turning}


def test_a_pad_shortcut_has_channels_but_no_weights() -> None:
    network = Residual(widths=(8, 16), depths=(1, 1), shortcut="pad")
    pad = {"exclude": "layer2.0.shortcut"}
    assert build({"filter_pruning": pad}, network=network).techniques == ("filter_pruning",)
    with pytest.raises(TechniqueDoesNotFit, match="shortcut"):
        build({"sparsity": pad}, network=network)
