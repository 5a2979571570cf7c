import copy
from dataclasses import replace

import pytest
import torch

from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.training.distillation.config import Distillation
from compress.training import loop, recovery
from compress.training.distillation.teacher import TeacherLogits
from compress.values.errors import InvalidCandidate
from compress.values.schedule import Schedule
from tests.devices import DEVICE


@pytest.fixture
def damaged(trained):
    module = copy.deepcopy(trained.module)
    with torch.no_grad():
        module.get_parameter("classifier.weight").mul_(-1)
    return replace(trained, module=module)


def test_a_recovery_that_made_the_network_worse_is_dropped_with_a_note(trained, damaged, digits):
    kept, note = recovery.best_of(
        trained, damaged, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION
    )
    assert kept is trained
    was, became = (
        loop.evaluate(network, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION)
        for network in (trained, damaged)
    )
    assert note == (
        f"recovery: dropped, it took the quality from {was:.4f} to {became:.4f} "
        "on 300 validation images"
    )


def test_a_recovery_that_made_it_better_or_as_good_is_kept_without_a_word(trained, damaged, digits):
    assert recovery.best_of(
        damaged, trained, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION
    ) == (trained, None)
    twin = replace(trained, module=copy.deepcopy(trained.module))
    kept, note = recovery.best_of(
        trained, twin, digits.validation, DEVICE, task=IMAGE_CLASSIFICATION
    )
    assert kept is twin
    assert note is None


def test_no_more_than_two_thousand_images_are_looked_at_and_always_the_same(
    trained, damaged, digits
):
    split = digits.validation
    many = Images(x_NCHW=split.x_NCHW.repeat(10, 1, 1, 1), y_N=split.y_N.repeat(10))
    notes = {
        recovery.best_of(trained, damaged, many, DEVICE, task=IMAGE_CLASSIFICATION)[1]
        for _ in range(2)
    }
    assert len(notes) == 1
    assert notes.pop().endswith("on 2000 validation images")


def test_the_config_chooses_among_the_teachers(trained, digits):
    baseline, uploaded = (
        TeacherLogits(trained, digits.train, device=DEVICE, task=IMAGE_CLASSIFICATION)
        for _ in range(2)
    )
    chosen = {
        teacher: recovery.teacher_of(
            Distillation(teacher=teacher), baseline=baseline, uploaded=uploaded
        )
        for teacher in ("baseline", "uploaded", "self")
    }
    assert chosen == {"baseline": baseline, "uploaded": uploaded, "self": None}
    assert recovery.teacher_of(None, baseline=baseline, uploaded=None) is None
    deaf = Distillation(weight=0, teacher="uploaded")
    assert recovery.teacher_of(deaf, baseline=None, uploaded=None) is None


@pytest.mark.parametrize(
    ("teacher", "missing"), [("baseline", "the baseline"), ("uploaded", "an uploaded model")]
)
def test_a_teacher_that_is_not_there_is_an_invalid_candidate(teacher, missing):
    with pytest.raises(InvalidCandidate, match=f"teacher='{teacher}' needs {missing}.*'self'"):
        recovery.teacher_of(Distillation(teacher=teacher), baseline=None, uploaded=None)


@pytest.mark.parametrize(
    ("field", "value", "bound"),
    [("learning_rate", -0.1, "0"), ("weight_decay", 1.0, "0.1"), ("warmup", 2, "1")],
)
def test_a_schedule_out_of_range_is_refused_with_the_bound(field, value, bound):
    with pytest.raises(ValueError, match=rf"{field}.*\n.* or equal to {bound} "):
        Schedule.model_validate({field: value})
