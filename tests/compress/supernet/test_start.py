from dataclasses import replace

import pytest
import torch

from compress import pipeline
from compress.network.families.nasbench201.config import NasBench201
from compress.network.families.outlining import ElasticFamily
from compress.network.families.residual.config import Residual
from compress.network.member import Shape
from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors
from compress.network.supernet import extraction
from compress.network.supernet.check import check
from compress.network.supernet.config import Elastic
from compress.supernet import start
from compress.tasks import loading
from compress.techniques.candidate import Candidate
from compress.techniques.family_member.config import FamilyMember
from compress.techniques.filter_pruning import apply as filter_pruning
from compress.values.errors import InvalidCandidate
from tests.compress.network.families import tiny
from tests.compress.network.supernet.families import SUPERNETS, context

ARCHITECTURE, ELASTIC = SUPERNETS["residual, padded"]
CONV, _ = SUPERNETS["residual"]


def state(network):
    return network.module.state_dict()


def members(architecture):
    return ElasticFamily(config=architecture, input_shape=(3, 32, 32), num_classes=10)


def filter_norms(network, name):
    return network.module.get_parameter(f"{name}.weight").flatten(1).norm(dim=1)


@pytest.mark.parametrize("name", SUPERNETS)
def test_a_trained_network_answers_as_before_when_it_has_become_a_supernet(name):
    architecture, elastic = SUPERNETS[name]
    network = tiny.network(architecture)
    began = start.begin(network, architecture, context(), elastic)
    scale = float(tiny.answers(network).abs().max())
    torch.testing.assert_close(
        tiny.answers(began), tiny.answers(network), atol=1e-5 * scale, rtol=1e-4
    )
    assert extraction.of_family(began).architecture == architecture
    assert not all(torch.equal(state(began)[key], state(network)[key]) for key in state(began))


@pytest.mark.parametrize("name", SUPERNETS)
def test_a_supernet_is_saved_and_loaded_without_loss(name, tmp_path):
    architecture, elastic = SUPERNETS[name]
    network = tiny.network(architecture)
    began = start.begin(network, architecture, context(), elastic)
    safetensors.save(began, tmp_path / "weights")
    loaded = safetensors.load(
        tmp_path / "weights",
        architecture=architecture,
        normalisation=network.normalisation,
        input_shape=network.input_shape,
        num_classes=network.num_classes,
    )
    assert torch.equal(tiny.answers(loaded), tiny.answers(began))


def test_important_channels_come_first():
    network = tiny.network(CONV)
    began = start.begin(network, CONV, context(), ELASTIC)
    inner = filter_norms(began, "layer2.1.conv1")
    readers = began.module.get_parameter("layer2.1.conv2.weight").transpose(0, 1).flatten(1)
    importance = inner.square() + readers.norm(dim=1).square()
    assert importance[:8].sum() > importance[8:].sum()
    assert sorted(inner.tolist()) == pytest.approx(
        sorted(filter_norms(network, "layer2.1.conv1").tolist())
    )


def test_channels_that_pass_a_pad_shortcut_stay_and_those_inside_blocks_move():
    network = tiny.network(ARCHITECTURE)
    began = start.begin(network, ARCHITECTURE, context(), ELASTIC)
    assert torch.equal(state(began)["conv1.weight"], state(network)["conv1.weight"])
    assert torch.equal(state(began)["linear.weight"], state(network)["linear.weight"])
    name = "layer1.0.conv1.weight"
    assert not torch.equal(state(began)[name], state(network)[name])


def test_fresh_weights_are_those_of_the_seed_and_of_the_baselines_normalisation():
    one, same, other = (
        start.begin(None, ARCHITECTURE, context(seed=seed), ELASTIC) for seed in (0, 0, 1)
    )
    assert torch.equal(state(one)["conv1.weight"], state(same)["conv1.weight"])
    assert not torch.equal(state(one)["conv1.weight"], state(other)["conv1.weight"])
    assert one.normalisation == loading.sample_statistics(context().data.train)
    baseline = replace(tiny.network(CONV), normalisation=Normalisation(mean=(3.0,), std=(2.0,)))
    beside = start.begin(None, ARCHITECTURE, replace(context(), teacher=baseline), ELASTIC)
    assert beside.normalisation == baseline.normalisation


def test_a_candidate_takes_its_slice_of_the_supernet():
    supernet = start.begin(None, ARCHITECTURE, context(), ELASTIC)
    step = FamilyMember(width=0.5, weights="supernet")
    compressed = pipeline.start(
        tiny.network(CONV), Candidate(steps=(step,)), replace(context(), supernet=supernet)
    )
    part = extraction.extract(supernet, ARCHITECTURE.member(Shape(width=0.5)))
    found = dict(compressed.network.module.named_parameters())
    assert all(torch.equal(found[name], p) for name, p in part.module.named_parameters())


@pytest.mark.parametrize(
    ("elastic", "message"),
    [
        (Elastic(), "no members but itself"),
        (Elastic(widths=(0.99, 1.0)), "no members but itself"),
        (Elastic(kernels=(3, 5)), "do not differ in kernel"),
        (Elastic(expansions=(0.5, 1.0)), "do not differ in expansion"),
        (Elastic(operations=(("none",),)), "do not differ in cell"),
        (Elastic(widths=(0.25, 0.5)), r"largest width of the supernet is 0\.5.*add 1 "),
        (Elastic(depths=(1,)), "largest depth of the supernet is 1.*add 2 "),
    ],
)
def test_values_that_make_no_supernet_are_refused_with_a_way_out(elastic, message):
    with pytest.raises(InvalidCandidate, match=message):
        start.begin(None, ARCHITECTURE, context(), elastic)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((("none", "skip_connect"),) * 5, "a cell has 6 edges, got 5"),
        ((("none", "conv_9x9"),) * 6, "not conv_9x9"),
        (
            (
                *(("none", "skip_connect"),) * 3,
                *(("none",),) * 3,
            ),
            "no cell of these operations has a path",
        ),
    ],
)
def test_cells_that_cannot_be_are_refused(operations, message):
    with pytest.raises(InvalidCandidate, match=message):
        check(Elastic(operations=operations), members(NasBench201(channels=4, cells=(1, 1, 1))))


def test_a_network_that_is_not_a_whole_one_of_the_architecture_is_refused():
    with pytest.raises(InvalidCandidate, match="the supernet is to be"):
        start.begin(tiny.network(CONV), ARCHITECTURE, context(), ELASTIC)
    config = filter_pruning.FilterPruning(ratios=(0.5, 0.5), round_to=1)
    compressed = filter_pruning.CompressedModel(network=tiny.network(CONV))
    pruned = filter_pruning.apply(compressed, config, context()).network
    with pytest.raises(InvalidCandidate, match="has lost channels or layers"):
        start.begin(pruned, CONV, context(), ELASTIC)


def test_a_budget_too_small_for_one_epoch_is_refused_before_anything_is_trained():
    with pytest.raises(InvalidCandidate, match="give it enough for one"):
        check(ELASTIC, members(Residual(widths=(8, 16), depths=(2, 2))), epochs=0)
