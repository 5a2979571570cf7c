"""What is counted from knobs is what is counted in the file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

import pytest
import torch

from compress import pipeline
from compress.export import counting, writer
from compress.network import folding
from compress.network.families.catalog import Architecture
from compress.network.families.drawn import catalog
from compress.network.families.drawn.word_bag import WordBag
from compress.network.families.mobilenet_v2.config import MobileNetV2
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.residual.config import Residual
from compress.tasks.images import ImageData, Images
from compress.techniques.candidate import Candidate
from compress.techniques.compressed import CompressedModel
from compress.training import constraints
from compress.values.errors import InvalidCandidate
from search.space import feasibility, space
from search.space.known_costs import KnownCosts
from search.space.points import ABSENT, Points
from tests import factories
from tests.compress.applying import context_of
from tests.compress.network.families import samples, tiny

CASES: list[tuple[Architecture, dict[str, object]]] = [
    (Residual(widths=(4, 8), depths=(1, 2)), {"width": [0.5, 1.0], "depth": [1, 2]}),
    (Residual(widths=(4, 8), depths=(2, 1), shortcut="pad"), {"width": [0.5, 1.0]}),
    (NasBench201(channels=4, cells=(1, 1, 1)), {}),
    (MobileNetV2(width=0.25), {"width": [0.5, 1.0], "kernel": [3]}),
]

MOST_SECONDS = 0.02


def known(architecture: Architecture, techniques: dict[str, object]) -> KnownCosts:
    outline = factories.outline(
        architecture, input_shape=(1, tiny.SIDE, tiny.SIDE), num_classes=tiny.NUM_CLASSES
    )
    return KnownCosts(space=space.build(factories.spec(techniques=techniques), outline))


def in_file(architecture: Architecture) -> counting.FileCounts:
    network, stored = constraints.bake(tiny.network(architecture))
    folded, _ = folding.fold(network, stored)
    return counting.count(writer.float_graph(folded))


@pytest.mark.parametrize(
    ("architecture", "ranges"),
    [*CASES[:3], *(pytest.param(*case, marks=pytest.mark.proof) for case in CASES[3:])],
    ids=lambda case: str(case)[:30],
)
def test_exact_counts_are_those_of_the_file(
    architecture: Architecture, ranges: dict[str, object]
) -> None:
    counted = known(architecture, {"family_member": ranges, "quantization": {}})
    assert counted.exact == {"parameters", "macs"}
    for _, params in counted.space.controls(num_random=3):
        candidate = counted.space.candidate(params)
        member = candidate.network
        network = architecture if member is None else architecture.member(member.shape)
        expected = in_file(network)
        found = counted.of(params)
        assert (found["parameters"], found["macs"]) == (expected.parameters, expected.macs)


def test_every_view_of_mirroring_has_the_macs_of_the_network() -> None:
    network = Residual(widths=(4, 8), depths=(1, 2))
    ranges: dict[str, object] = {"mirroring": {"flip": ["none", "horizontal", "both"]}}
    counted = known(network, {"quantization": {}, **ranges})
    assert counted.exact == {"parameters", "macs"}
    alone, two, four = (
        counted.of({"mirroring.flip": flip}) for flip in ("none", "horizontal", "both")
    )
    assert alone["macs"] == in_file(network).macs
    assert two == {**alone, "macs": 2 * alone["macs"]}
    assert four == {**alone, "macs": 4 * alone["macs"]}


@pytest.mark.parametrize(
    "techniques",
    [
        {"filter_pruning": {}, "low_rank": {}},
        {"filter_pruning": {"scope": ["stage", "global"], "ratio": [0.2, 0.5]}},
        {"filter_pruning": {"scope": ["uniform"], "target": ["bytes"], "ratio": [0.2, 0.5]}},
        {"family_member": {"width": {"low": 0.5, "high": 1.0}}, "filter_pruning": {}},
    ],
    ids=["low rank", "global", "bytes", "members without number"],
)
def test_what_depends_on_weights_or_too_many_members_makes_estimates(
    techniques: dict[str, object],
) -> None:
    counted = known(Residual(widths=(4, 8), depths=(1, 2)), techniques)
    assert counted.exact == frozenset()
    assert counted.estimated == {"parameters", "macs", "size_bytes"}


def test_pruned_channels_are_counted_exactly() -> None:
    network = Residual(widths=(4, 8), depths=(1, 2))
    counted = known(network, {"filter_pruning": {}, "quantization": {}})
    assert counted.exact == {"parameters", "macs"}
    whole, half = (
        counted.of({"filter_pruning.ratios.0": ratio, "filter_pruning.ratios.1": ratio})
        for ratio in (0.0, 0.5)
    )
    assert (whole["parameters"], whole["macs"]) == (in_file(network).parameters, 214056)
    narrow = in_file(Residual(widths=(2, 4), depths=(1, 2)))
    assert (half["parameters"], half["macs"]) == (narrow.parameters, narrow.macs)


def compressed_in_file(
    architecture: Architecture, candidate: Candidate
) -> counting.FileCounts | None:
    """What the file of a candidate counts; None if its target of pruning is out of reach."""
    compressed = CompressedModel(network=tiny.network(architecture))
    try:
        for step in candidate.configs:
            compressed = pipeline.apply(compressed, step, context_of(blank_images()))
    except InvalidCandidate as refused:
        if "can remove" in str(refused):
            return None
        raise
    folded, _ = folding.fold(*constraints.bake(compressed.network))
    return counting.count(writer.float_graph(folded))


def blank_images() -> ImageData:
    x_NCHW = torch.zeros(2, 1, tiny.SIDE, tiny.SIDE)
    part = Images(x_NCHW=x_NCHW, y_N=torch.zeros(2, dtype=torch.int64))
    return ImageData(train=part, validation=part, test=None, num_classes=tiny.NUM_CLASSES)


PRUNED_MEMBERS = ["residual, padded"]


@pytest.mark.parametrize(
    "name",
    [
        *PRUNED_MEMBERS,
        *(
            pytest.param(name, marks=pytest.mark.proof)
            for name in samples.SAMPLES
            if name not in PRUNED_MEMBERS and "nasbench201" not in name
        ),
    ],
)
def test_channels_of_members_are_counted_exactly(name: str) -> None:
    architecture = samples.SAMPLES[name]
    shapes: dict[str, object] = {"width": [0.5, 0.8, 1.0], "depth": [1, 2]}
    pruning: dict[str, object] = {"scope": ["stage", "uniform", "same_number"], "round_to": [1, 2]}
    if "kernel" in architecture.elastic:
        shapes["kernel"] = [3, 5]
    ratio = {"ratio": [0.2, 0.5], "steps": [1, 2], "target": ["channels", "macs", "parameters"]}
    counted = known(architecture, {"family_member": shapes, "filter_pruning": pruning | ratio})
    assert counted.exact == {"parameters", "macs"}
    for _, params in counted.space.controls(num_random=4):
        expected = compressed_in_file(architecture, counted.space.candidate(params))
        if expected is not None:
            found = counted.of(params)
            assert (found["parameters"], found["macs"]) == (expected.parameters, expected.macs)


def test_a_member_without_an_excluded_layer_is_counted_as_it_is() -> None:
    techniques: dict[str, object] = {
        "family_member": {"depth": [1, 2], "width": 1.0},
        "filter_pruning": {"exclude": ["layer2.1.*"]},
    }
    counted = known(Residual(widths=(4, 8), depths=(2, 2)), techniques)
    found = {
        depth: counted.of(
            {
                "family_member.depth": depth,
                "filter_pruning.ratios.0": 0.5,
                "filter_pruning.ratios.1": 0.5,
            }
        )
        for depth in (1, 2)
    }
    whole = in_file(Residual(widths=(4, 8), depths=(1, 1)))
    assert (found[1]["parameters"], found[1]["macs"]) == (whole.parameters, whole.macs)
    assert found[2]["macs"] < in_file(Residual(widths=(4, 8), depths=(2, 2))).macs


@pytest.mark.parametrize("keep", [0.1, 0.3])
@pytest.mark.parametrize("target", ["channels", "macs"])
def test_no_ranking_leaves_less_than_its_bound(keep: float, target: str) -> None:
    ranking = {"scope": "global", "ratio": 0.7, "keep_at_least": keep, "target": target}
    architecture = Residual(widths=(8, 20), depths=(1, 2))
    techniques: dict[str, object] = {"filter_pruning": {**ranking, "round_to": 1}}
    found = known(architecture, techniques).space
    candidate = found.candidate({})
    least = feasibility.candidate_bounds(
        factories.spec(techniques=techniques), candidate, found.outline
    )
    for importance in ("l2", "random", "lamp"):
        [step] = candidate.configs
        drawn = Candidate(steps=(step.model_copy(update={"importance": importance}),))
        counts = compressed_in_file(architecture, drawn)
        assert counts is not None
        assert counts.parameters >= least.parameters
        assert counts.macs >= least.macs


def test_counts_of_a_space_with_a_cheap_candidate_cost_a_millisecond_or_so() -> None:
    counted = known(MobileNetV2(), {"filter_pruning": {}})
    candidates = [params for _, params in counted.space.controls(num_random=30)]
    assert counted.exact
    start = time.process_time()
    counted.column("macs", candidates)
    assert (time.process_time() - start) / len(candidates) < MOST_SECONDS


def test_bytes_fall_with_bits_zeros_and_channels() -> None:
    techniques = {"filter_pruning": {}, "quantization": {}, "sparsity": {}}
    counted = known(Residual(widths=(4, 8), depths=(1, 2)), techniques)
    names = {knob.name for knob in counted.space.turning}
    start = {
        "filter_pruning.ratios.0": 0.0,
        "filter_pruning.ratios.1": 0.0,
        "quantization.weight_bits": 8,
        "sparsity.sparsity": 0.0,
    }
    assert names == set(start)
    whole = counted.of(start)["size_bytes"]
    for name, value in (
        ("filter_pruning.ratios.1", 0.5),
        ("quantization.weight_bits", 4),
        ("sparsity.sparsity", 0.5),
    ):
        assert counted.of({**start, name: value})["size_bytes"] < whole


def test_many_candidates_are_counted_like_one() -> None:
    techniques = {"family_member": {}, "filter_pruning": {}, "quantization": {}, "sparsity": {}}
    counted = known(Residual(widths=(4, 8), depths=(2, 2)), techniques)
    some = [dict(params) for _, params in counted.space.controls(num_random=20)]
    some += [{name: params[name] for name in list(params)[1:]} for params in some]
    names = {name for params in some for name in params}
    columns = {n: partial(_values, some, n) for n in names}
    for metric in ("parameters", "macs", "size_bytes"):
        expected = [counted.of(params)[metric] for params in some]
        assert counted.column(metric, Points(len(some), columns)) == expected
        assert counted.column(metric, some) == expected
    assert len({counted.of(params)["size_bytes"] for params in some}) > 10


def _values(some: Sequence[Mapping[str, object]], name: str) -> list[object]:
    return [params.get(name, ABSENT) for params in some]


def test_rows_of_words_that_stay_and_of_buckets_are_counted() -> None:
    network = WordBag(words=100, width=8)
    outline = catalog.outline(network, input_shape=(5,), num_classes=2)
    ranges: dict[str, object] = {"vocabulary_pruning": {"keep": [1.0, 0.25], "buckets": [0, 4]}}
    counted = KnownCosts(space=space.build(factories.spec(techniques=ranges), outline))
    head = 8 * 2 + 2
    for keep, buckets, rows in ((1.0, 0, 100), (0.25, 0, 25), (0.25, 4, 29)):
        found = counted.of({"vocabulary_pruning.keep": keep, "vocabulary_pruning.buckets": buckets})
        assert found["parameters"] == rows * 8 + head
