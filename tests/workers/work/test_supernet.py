"""The training of a supernet in a worker, from checkpoint to checkpoint."""

from dataclasses import replace

import pytest
import torch

from compress.network.preprocessing import Normalisation
from compress.network.sources import safetensors
from compress.network.sources.source import FamilySource
from compress.network.supernet import extraction
from compress.network.supernet.config import Elastic
from compress.supernet import training
from compress.training.loop import silent
from compress.values.errors import InvalidCandidate, Stopped
from featherweight.specs.protocol import SupernetTask
from tests.compress.network.families import tiny
from tests.compress.network.supernet.families import SUPERNETS, context
from workers.work.supernet import SharedTraining

ARCHITECTURE, ELASTIC = SUPERNETS["residual"]
OTHER = Normalisation(scale=1.0, mean=(0.25,), std=(0.5,))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def baseline():
    return replace(tiny.network(ARCHITECTURE), normalisation=OTHER)


def shared(*, largest=ARCHITECTURE, elastic=ELASTIC, epochs=4, start="fresh", should_stop=None):
    given = SupernetTask(elastic=elastic, epochs=epochs, start=start)
    wanted = context() if should_stop is None else replace(context(), should_stop=should_stop)
    return SharedTraining(given, largest=FamilySource(largest), context=wanted)


def state(network):
    assert network is not None
    return network.module.state_dict()


def is_same(one, other):
    return all(torch.equal(state(one)[name], state(other)[name]) for name in state(one))


def begun(baseline, **changes):
    found = shared(**changes)
    found.begin(None, baseline)
    assert found.supernet is not None
    return found


def test_new_weights_are_of_the_students_architecture_and_see_images_as_the_baseline(baseline):
    student = ARCHITECTURE.model_copy(update={"widths": (16, 32)})
    found = begun(baseline, largest=student).supernet
    assert extraction.of_family(found).architecture == student
    assert found.normalisation == OTHER
    assert is_same(found, begun(baseline, largest=student).supernet)


def test_the_baselines_weights_answer_as_before(baseline):
    found = begun(baseline, start="baseline").supernet
    torch.testing.assert_close(tiny.answers(found), tiny.answers(baseline), atol=1e-4, rtol=1e-4)
    assert not is_same(found, baseline)


def test_a_checkpoint_goes_before_every_other_start(baseline):
    checkpoint = tiny.network(ARCHITECTURE)
    found = shared(start="baseline")
    found.begin(checkpoint, baseline)
    assert found.supernet is checkpoint


def test_members_that_are_no_slices_are_refused_before_anything_is_trained(baseline):
    with pytest.raises(InvalidCandidate, match="kernel"):
        begun(baseline, elastic=Elastic(widths=(0.5, 1.0), kernels=(1, 3)))


def test_training_in_pieces_is_the_unbroken_training(baseline):
    pieces, whole = begun(baseline), begun(baseline)
    for first, last in ((0, 1), (1, 3), (3, 4)):
        pieces.train(first, last, on_progress=silent)
    whole.train(0, 4, on_progress=silent)
    for name, tensor in state(whole.supernet).items():
        torch.testing.assert_close(state(pieces.supernet)[name], tensor)
    assert whole.images_per_second is not None
    assert whole.images_per_second > 0


def test_another_process_goes_on_from_the_file_of_a_checkpoint_with_the_optimiser_at_rest(
    baseline, tmp_path
):
    first = begun(baseline)
    first.train(0, 2, on_progress=silent)
    safetensors.save(first.supernet, tmp_path / "weights")
    kept = safetensors.load(
        tmp_path / "weights",
        architecture=ARCHITECTURE,
        normalisation=first.supernet.normalisation,
        input_shape=first.supernet.input_shape,
        num_classes=first.supernet.num_classes,
    )
    second = shared()
    second.begin(kept, baseline)
    second.train(2, 4, on_progress=silent)
    at_rest, _ = training.train(first.supernet, ELASTIC, context(), epochs=(2, 4), of=4)
    assert is_same(second.supernet, at_rest)
    first.train(2, 4, on_progress=silent)
    assert not is_same(second.supernet, first.supernet)


def test_progress_is_told_in_epochs_of_the_whole_training(baseline):
    told = []
    found = begun(baseline)
    found.train(1, 3, on_progress=lambda epoch, epochs, loss: told.append((epoch, epochs)))
    assert told == [(2, 4), (3, 4)]


def test_a_training_that_is_asked_to_stop_stops(baseline):
    found = begun(baseline, should_stop=lambda: True)
    with pytest.raises(Stopped):
        found.train(0, 4, on_progress=silent)


def test_random_paths_are_trained_where_members_are_cells():
    architecture, elastic = SUPERNETS["nasbench201"]
    cells = tiny.network(architecture)
    found = begun(cells, largest=architecture, elastic=elastic)
    before = found.supernet
    found.train(0, 1, on_progress=silent)
    assert not is_same(before, found.supernet)
