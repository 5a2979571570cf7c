"""The one contract of all techniques: a technique of the catalog without a case here fails."""

from __future__ import annotations

import copy
import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from compress import pipeline
from compress.evaluation import runtime
from compress.network import layers
from compress.network.stored_weight import HalfFloat, StoredWeight, is_half
from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.training.distillation.config import Distillation
from compress.training import constraints
from compress.values.errors import InvalidCandidate, NumericalError
from featherweight.specs import manifest
from tests import covering
from tests.compress import contract
from tests.compress.contract import CASES, FAMILY, NETWORKS, SPARED, Made

SMALLER_BY_PARAMETERS = {"family_member", "filter_pruning", "low_rank"}
SMALLER_BY_BYTES = {"sparsity", "weight_sharing", "quantization"}
NOT_SMALLER = {"adjusted_loss", "distillation", "mirroring"}
"""They make a smaller network more accurate, or better in another way."""
WITHOUT_LAYERS = NOT_SMALLER | {"family_member"}
"""They do not work layer by layer, so none can be left out."""
TYPICAL = {
    "half the width",
    "half the channels",
    "thinner layers",
    "a teacher's features",
    "2:4 zeros",
    "codebooks of 3 bits",
    "8 bits, integer kernels",
    "3 bits in groups, float activations",
    "two views",
    "a margin",
}
"""Each technique, and both ways to run quantized weights; the other cases are proofs."""


def fits(case, network):
    return case.technique != "family_member" or network in FAMILY


MATRIX = [(case, network) for case in CASES for network in NETWORKS if fits(case, network)]
IDS = [f"{case.technique}: {case.name}, {network}" for case, network in MATRIX]


@pytest.fixture(scope="module")
def pristine(networks):
    """What each network was before any technique saw it."""
    return {name: fingerprint(network) for name, network in networks.items()}


@pytest.fixture(scope="module")
def baselines(networks, pristine, five, tmp_path_factory):
    folder = tmp_path_factory.mktemp("baselines")
    made = {}
    for name, network in networks.items():
        (folder / name).mkdir()
        made[name] = Made(network, Candidate(), five, folder / name)
    return made


ROWS = covering.rows(MATRIX, IDS, among=lambda case, network: case.name in TYPICAL)


@pytest.fixture(scope="module", params=ROWS)
def cell(request):
    return request.param


@pytest.fixture(scope="module")
def case(cell):
    return cell[0]


@pytest.fixture(scope="module")
def baseline(cell, baselines):
    return baselines[cell[1]]


@pytest.fixture(scope="module")
def made(case, baseline, tmp_path_factory):
    steps = Candidate(steps=(case.config,))
    return Made(baseline.network, steps, baseline.data, tmp_path_factory.mktemp("made"))


def fingerprint(network):
    buffer = io.BytesIO()
    torch.save({"text": str(network.module), "state": network.module.state_dict()}, buffer)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


OF_WORDS = {"noise", "vocabulary_pruning"}
OF_IMAGES = [each.name for each in registry.TECHNIQUES if each.name not in OF_WORDS]


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_technique_of_the_catalog_has_a_case(name):
    covered = {case.technique for case in CASES if case.name in TYPICAL}
    assert name in covered, (
        f"{name} has no case in tests/compress/contract.py: add one to CASES and TYPICAL"
    )
    assert name in SMALLER_BY_PARAMETERS | SMALLER_BY_BYTES | NOT_SMALLER, (
        f"say in tests/compress/test_contract.py by what measure {name} makes a network smaller"
    )


def test_it_still_runs_and_its_file_answers_like_the_network(made):
    x_NCHW = made.data.validation.x_NCHW
    for compressed, artifact in made.stages:
        simulated_NK = contract.simulated(compressed, x_NCHW)
        opened = runtime.session(artifact.path)
        answers_NK = runtime.answers(opened, x_NCHW)
        assert answers_NK.shape == simulated_NK.shape == (len(x_NCHW), contract.CLASSES)
        assert runtime.answers(opened, x_NCHW[:1]).shape == (1, contract.CLASSES)
        if contract.runs_in_integers(compressed):
            as_written = runtime.session(artifact.path, optimise=False)
            assert contract.clear_flips(answers_NK, runtime.answers(as_written, x_NCHW)) <= 1
        else:
            assert (answers_NK.argmax(1) == simulated_NK.argmax(1)).all()
        assert artifact.agreement >= 0.99


def test_it_is_smaller_by_its_own_measure(case, made, baseline):
    for (_, file), (_, whole) in zip(made.stages, baseline.stages, strict=True):
        if case.technique in SMALLER_BY_PARAMETERS:
            assert file.parameters < whole.parameters
            assert file.size_bytes < whole.size_bytes
        elif case.technique in SMALLER_BY_BYTES:
            assert file.size_bytes < 0.8 * whole.size_bytes
            assert file.parameters == whole.parameters
        elif case.technique == "mirroring":
            assert 0 < file.size_bytes - whole.size_bytes < 600
            assert file.parameters == whole.parameters
            assert file.macs == len(case.config.views) * whole.macs
        else:
            assert file.size_bytes == whole.size_bytes


def test_the_file_holds_the_very_weights_of_the_network(made):
    for compressed, artifact in made.stages:
        network, stored = contract.written(compressed, artifact)
        decoded = contract.weights_of_file(artifact.path, compressed)
        for layer in layers.weighted(network):
            np.testing.assert_array_equal(decoded[layer.name], layer.module.weight.detach())
            if layer.name in stored:
                np.testing.assert_array_equal(decoded[layer.name], stored[layer.name].values())


def test_what_was_asked_of_the_weights_holds_before_and_after_recovery(case, made):
    assert fingerprint(made.start.network) != fingerprint(made.recovered.network)
    check = {"sparsity": zeros, "weight_sharing": few_values, "quantization": few_bits}
    for compressed, artifact in made.stages:
        assert bool(compressed_layers(compressed)) == (case.technique in check)
        if case.technique in check:
            check[case.technique](case.config, compressed, artifact, made.folder)


def compressed_layers(compressed):
    found = layers.weighted(compressed.network)
    return [layer for layer in found if constraints.on(layer.module)]


def zeros(config, compressed, artifact, folder):
    decoded = contract.weights_of_file(artifact.path, compressed)
    weights = [decoded[layer.name] for layer in compressed_layers(compressed)]
    if config.kept_of_group is None:
        count = sum(int((weight == 0).sum()) for weight in weights)
        assert count >= int(config.sparsity * sum(weight.size for weight in weights))
        return
    kept, size = config.kept_of_group
    for weight in weights:
        groups = np.moveaxis(weight, 1, -1).reshape(-1, size)
        assert ((groups != 0).sum(axis=1) <= kept).all()


def few_values(config, compressed, artifact, folder):
    _, stored = contract.shipped(compressed)
    decoded = contract.weights_of_file(artifact.path, compressed)
    for layer in compressed_layers(compressed):
        assert len(np.unique(stored[layer.name].integers_OI)) <= 2**config.index_bits
        rows = decoded[layer.name].reshape(len(decoded[layer.name]), -1)
        assert max(len(np.unique(row)) for row in rows) <= 2**config.index_bits


def few_bits(config, compressed, artifact, folder):
    _, stored = contract.shipped(compressed)
    found = [layer.name for layer in compressed_layers(compressed)]
    edges = {found[0], found[-1]} if config.edges_8bit else set()
    if config.weight_bits == 16:
        assert all(isinstance(stored[name], HalfFloat) for name in found)
        assert all(is_half(stored[name].values()) for name in found)
        return
    for name in found:
        top = 2 ** ((8 if name in edges else config.weight_bits) - 1) - 1
        assert isinstance(stored[name], StoredWeight)
        assert np.abs(stored[name].integers_OI.astype(int)).max() <= top
    if config.activations == "int8":
        executed = contract.integers_executed(artifact.path, folder)
        assert len(executed) >= len(found) - 1
        assert max(np.abs(weight).max() for weight in executed) <= 2 ** (config.weight_bits - 1) - 1


def test_distillation_changes_what_is_learnt(case, made, baseline):
    if case.technique != "distillation":
        assert made.start.step(Distillation) is None
        return
    assert fingerprint(made.start.network) == fingerprint(baseline.start.network)
    assert fingerprint(made.recovered.network) != fingerprint(baseline.recovered.network)


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    again = made.again(tmp_path)
    # Whatever draws from the global generator would differ here.
    torch.rand(1)
    assert again.file.sha256 == made.file.sha256
    torch.rand(3)
    assert again.recovered_file.sha256 == made.recovered_file.sha256
    assert again.recovered_file.notes == made.recovered_file.notes


def test_the_network_it_starts_from_is_not_changed(cell, made, pristine, tmp_path):
    assert made.recovered_file.size_bytes > 0
    assert fingerprint(made.network) == pristine[cell[1]]
    # Nor is the one that a recovery starts from: it is as a fresh start makes it.
    assert fingerprint(made.start.network) == fingerprint(made.again(tmp_path).start.network)


def test_it_says_so_when_it_had_nothing_to_do(case, baseline, tmp_path):
    idle = Candidate(steps=(case.idle,))
    made = Made(baseline.network, idle, baseline.data, tmp_path)
    assert [note.split(":")[0] for note in made.start.notes] == [case.technique]
    assert made.file.path.read_bytes() == baseline.file.path.read_bytes()
    if not case.idle.has_effect:
        assert idle.canonical() == Candidate()
        assert idle.digest() == Candidate().digest()


def test_an_excluded_layer_stays_as_it_is_bit_by_bit(cell, made, tmp_path):
    case, name = cell
    if "exclude" not in type(case.config).model_fields:
        assert case.technique in WITHOUT_LAYERS
        return
    spared = Candidate(steps=(case.config.model_copy(update={"exclude": SPARED[name]}),))
    kept = Made(made.network, spared, made.data, tmp_path)
    before, after = (
        layers.by_name(layers.weighted(network))[SPARED[name]].module
        for network in (made.network, kept.start.network)
    )
    assert constraints.on(after) == ()
    assert torch.equal(before.weight, after.weight)
    if before.bias is not None:
        assert torch.equal(before.bias, after.bias)
    expected = contract.shipped(kept.start)[0].module.get_submodule(SPARED[name]).weight
    decoded = contract.weights_of_file(kept.file.path, kept.start)
    np.testing.assert_array_equal(decoded[SPARED[name]], expected.detach())
    assert kept.file.sha256 != made.file.sha256
    if contract.runs_in_integers(kept.start):
        # ONNX Runtime quantizes float weights between two grids by itself, if it may.
        ours, all_of_them = (
            contract.integers_executed(one.file.path, tmp_path) for one in (kept, made)
        )
        assert len(ours) == len(all_of_them) - 1


def test_a_pattern_that_matches_no_layer_is_an_error_that_names_it(case, made):
    if "exclude" not in type(case.config).model_fields:
        assert case.technique in WITHOUT_LAYERS
        return
    wrong = case.config.model_copy(update={"exclude": "stem, no_such_layer*"})
    wrong = wrong.model_copy(update={"exclude": "no_such_layer*"})
    with pytest.raises(InvalidCandidate, match=re.escape("'no_such_layer*'")):
        pipeline.start(made.network, Candidate(steps=(wrong,)), made.context)


@pytest.mark.parametrize(
    ("position", "value"),
    [(0, torch.nan), (-1, torch.inf)],
    ids=["NaN in the first layer", "infinity in the last"],
)
def test_weights_that_are_not_finite_never_become_a_file(made, position, value, tmp_path):
    module = copy.deepcopy(made.network.module)
    sick = replace(made.network, module=module)
    with torch.no_grad():
        layers.weighted(sick)[position].module.weight.view(-1)[-1] = value
    damaged = Made(sick, made.candidate, made.data, tmp_path)
    with pytest.raises((NumericalError, InvalidCandidate)):
        assert damaged.file
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(FAMILY)))
def test_a_network_of_no_family_has_no_members(name, baselines):
    member = Candidate.model_validate({"steps": [{"technique": "family_member", "width": 0.5}]})
    with pytest.raises(InvalidCandidate, match="only a network of a family has members"):
        pipeline.start(baselines[name].network, member, baselines[name].context)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_config_comes_back_from_json_candidate_and_manifest(case):
    read = TypeAdapter(registry.TechniqueConfig).validate_json(case.config.model_dump_json())
    assert read == case.config
    assert type(read) is registry.BY_NAME[case.technique].config
    candidate = Candidate(steps=(case.config,))
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate
    written = contract.manifest_of(candidate)
    loaded = manifest.load(manifest.dump(written))
    assert loaded == written
    assert loaded.candidate.configs == (case.config,)
