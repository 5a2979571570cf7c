"""Techniques together, in the catalog's order: each keeps its promise behind and before others."""

from __future__ import annotations

from fnmatch import fnmatch

import numpy as np
import pytest

from compress.evaluation import runtime
from compress.network import layers
from compress.network.stored_weight import StoredWeight
from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.mirroring.config import Mirroring
from compress.techniques.quantization.config import Quantization
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.sparsity.mask import Mask
from compress.techniques.training.distillation.config import Distillation
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints
from tests import covering
from tests.compress import contract
from tests.compress.contract import FAMILY, NETWORKS, SPARED, Made

SPARE_ONE = "one layer, which depends on the network"
PRUNED = FilterPruning(scope="uniform", ratio=0.25)
COMPOSITIONS = {
    "prune, low rank, 4 bits": (PRUNED, LowRank(energy=0.8), Quantization(weight_bits=4)),
    "zeros in codebooks": (Sparsity(sparsity=0.5), WeightSharing(index_bits=3)),
    "zeros on a 2-bit grid": (
        Sparsity(sparsity=0.5, schedule="gradual"),
        Quantization(weight_bits=2, activations="float", edges_8bit=False),
    ),
    "a student, pruned and taught, 3 bits": (
        FamilyMember(width=0.75, depth=1),
        PRUNED,
        Distillation(weight=0.7),
        Quantization(weight_bits=3, training="lsq"),
    ),
    "codebooks in integer kernels": (WeightSharing(index_bits=4), Quantization()),
    "N:M behind thin layers": (LowRank(energy=0.8), Sparsity(pattern="1:4")),
    "zeros, codebooks, integer kernels": (
        Sparsity(pattern="2:4"),
        WeightSharing(index_bits=3),
        Quantization(),
    ),
    "zeros and 8 bits with a spared layer": (
        Sparsity(sparsity=0.5),
        Quantization(weight_bits=5, exclude=SPARE_ONE),
    ),
    "everything": (
        FamilyMember(width=0.75),
        PRUNED,
        LowRank(energy=0.8),
        Distillation(features="relational"),
        Sparsity(sparsity=0.4),
        WeightSharing(index_bits=4),
        Quantization(),
        Mirroring(),
    ),
    "4 bits, four views": (
        Quantization(weight_bits=4, activations="float"),
        Mirroring(flip="both"),
    ),
}
LONGEST = (
    "prune, low rank, 4 bits",
    "zeros, codebooks, integer kernels",
    "zeros and 8 bits with a spared layer",
    "everything",
)
"""Those that hold every technique; the others are proofs."""
NEEDS_FAMILY = {name for name, steps in COMPOSITIONS.items() if isinstance(steps[0], FamilyMember)}
MATRIX = [
    (name, network)
    for name in COMPOSITIONS
    for network in NETWORKS
    if network in FAMILY or name not in NEEDS_FAMILY
]


ROWS = covering.rows(
    MATRIX,
    [f"{name}, {kind}" for name, kind in MATRIX],
    among=lambda name, kind: name in LONGEST,
)


@pytest.fixture(scope="module", params=ROWS)
def made(request, networks, five, tmp_path_factory):
    name, kind = request.param
    steps = tuple(spare_one(step, SPARED[kind]) for step in COMPOSITIONS[name])
    folder = tmp_path_factory.mktemp("composition")
    return Made(networks[kind], Candidate(steps=steps), five, folder)


@pytest.fixture(scope="module")
def wholes(networks, five, tmp_path_factory):
    """Each network as it is."""
    folders = (tmp_path_factory.mktemp("whole") for _ in networks)
    return [
        Made(network, Candidate(), five, folder)
        for network, folder in zip(networks.values(), folders, strict=True)
    ]


def spare_one(step, layer):
    spares = getattr(step, "exclude", "") == SPARE_ONE
    return step.model_copy(update={"exclude": layer}) if spares else step


def step_of(made, kind):
    return next((step for step in made.candidate.configs if isinstance(step, kind)), None)


def test_the_file_answers_like_the_network_before_and_after_recovery(made):
    x_NCHW = made.data.validation.x_NCHW
    for compressed, artifact in made.stages:
        answers_NK = runtime.answers(runtime.session(artifact.path), x_NCHW)
        if any("8-bit and float activations" in note for note in artifact.notes):
            assert artifact.agreement >= 0.99
            continue
        simulated_NK = contract.simulated(compressed, x_NCHW)
        assert (answers_NK.argmax(1) == simulated_NK.argmax(1)).all()


def test_the_file_holds_the_very_weights_of_the_network(made):
    for compressed, artifact in made.stages:
        network, _ = contract.written(compressed, artifact)
        decoded = contract.weights_of_file(artifact.path, compressed)
        for layer in layers.weighted(network):
            np.testing.assert_array_equal(decoded[layer.name], layer.module.weight.detach())


def test_it_is_smaller_than_the_network_it_came_from(made, wholes):
    [whole] = [one for one in wholes if one.network is made.network]
    assert made.recovered_file.size_bytes < whole.file.size_bytes


def test_zeros_stay_zero_through_every_later_step(made):
    sparsity = step_of(made, Sparsity)
    if sparsity is None:
        return
    for compressed, artifact in made.stages:
        decoded = contract.weights_of_file(artifact.path, compressed)
        masked = masked_layers(compressed)
        assert masked
        for layer, mask in masked:
            assert (decoded[layer.name][~mask.mask.bool().numpy()] == 0).all()
    zeros = sum(int((~mask.mask.bool()).sum()) for _, mask in masked_layers(made.recovered))
    weights = sum(mask.mask.numel() for _, mask in masked_layers(made.recovered))
    kept, size = sparsity.kept_of_group or (1 - sparsity.sparsity, 1)
    # Every layer keeps a weight, and low rank makes layers of few.
    assert zeros >= int((1 - kept / size) * weights) - len(masked_layers(made.recovered))


def masked_layers(compressed):
    return [
        (layer, part)
        for layer in layers.weighted(compressed.network)
        for part in constraints.on(layer.module)
        if isinstance(part, Mask)
    ]


def test_values_stay_few_through_every_later_step(made):
    sharing, quantization = step_of(made, WeightSharing), step_of(made, Quantization)
    for compressed, artifact in made.stages:
        _, stored = contract.shipped(compressed)
        decoded = contract.weights_of_file(artifact.path, compressed)
        trained = [layer for layer in layers.weighted(compressed.network) if layer.is_trained]
        limits = [most_values(layer, trained, sharing, quantization) for layer in trained]
        for layer, most in zip(trained, limits, strict=True):
            rows = decoded[layer.name].reshape(len(decoded[layer.name]), -1)
            assert most is None or max(len(np.unique(row)) for row in rows) <= most
            is_stored = isinstance(stored.get(layer.name), StoredWeight)
            assert is_stored == (most is not None)


def most_values(layer, trained, sharing, quantization):
    """Distinct values of an output channel, at most; None for a layer that stays in floats."""
    if sharing is not None:
        return 2**sharing.index_bits
    if quantization is None or fnmatch(layer.name, quantization.exclude):
        return None
    is_edge = layer in (trained[0], trained[-1]) and quantization.edges_8bit
    bits = 8 if is_edge else quantization.weight_bits
    return 2**bits
