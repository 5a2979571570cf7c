from dataclasses import replace

import pytest
import torch

from compress import pipeline
from compress.network.families.residual.config import Residual
from compress.network.sources.family import FamilyMembers
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.quantization.config import Quantization
from compress.techniques.training.distillation.config import Distillation
from compress.training import loop
from compress.training.context import TrialContext
from compress.values.errors import InvalidCandidate, Stopped
from compress.values.schedule import Schedule
from tests.compress.applying import untrained
from tests.devices import DEVICE

SMALL = Residual(widths=(8, 16), depths=(1, 1), shortcut="conv")
PRUNE = {"technique": "filter_pruning", "ratios": [0.5, 0.5]}
DISTIL = {"technique": "distillation", "temperature": 4, "weight": 0.5}
INT4 = {"technique": "quantization", "weight_bits": 4}


def candidate(*steps):
    return Candidate.model_validate({"steps": steps})


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def context(digits):
    few = Images(x_NCHW=digits.train.x_NCHW[:400], y_N=digits.train.y_N[:400])
    small = ImageData(train=few, validation=digits.validation, test=None, num_classes=10)
    return TrialContext(
        members=FamilyMembers(), data=small, device=DEVICE, seed=0, task=IMAGE_CLASSIFICATION
    )


@pytest.fixture(scope="module")
def baseline(context):
    return pipeline.train_baseline(untrained(SMALL, context), epochs=20, context=context)


def accuracy(network, context):
    return loop.evaluate(network, context.data.validation, DEVICE, task=IMAGE_CLASSIFICATION)


def state(compressed):
    return compressed.network.module.state_dict()


def test_the_baseline_learns_and_is_the_same_for_the_same_seed(baseline, context):
    assert accuracy(baseline, context) > 0.85
    one, same = (
        pipeline.train_baseline(untrained(SMALL, context), epochs=1, context=context)
        for _ in range(2)
    )
    assert torch.equal(one.module.linear.weight, same.module.linear.weight)


def test_no_steps_give_the_network_itself(baseline, context):
    assert pipeline.start(baseline, candidate(), context).network is baseline


def test_quantization_corrects_the_mean_errors_of_its_layers(baseline, context):
    quantized = pipeline.start(baseline, candidate(INT4), context)
    assert quantized.step(Quantization).weight_bits == 4
    then, now = baseline.module.bn1, quantized.network.module.bn1
    assert not torch.equal(now.running_mean, then.running_mean)


def test_steps_apply_in_order_and_leave_later_work_in_the_compressed_model(baseline, context):
    member = {"technique": "family_member", "width": 0.5}
    compressed = pipeline.start(baseline, candidate(member, PRUNE, DISTIL, INT4), context)
    module = compressed.network.module
    assert module.conv1.out_channels == 2
    assert compressed.step(Distillation).temperature == 4
    assert compressed.step(Quantization).weight_bits == 4
    assert (compressed.epochs, compressed.notes) == (0, ())


def test_statistics_are_measured_anew_after_pruning(baseline, context):
    pruned = pipeline.start(baseline, candidate(PRUNE), context)
    stale = {tuple(t.tolist()) for n, t in baseline.module.named_buffers() if "running_var" in n}
    kept = {tuple(t.tolist()) for n, t in state(pruned).items() if "running_var" in n}
    assert not stale & kept
    assert all(torch.isfinite(tensor).all() for tensor in state(pruned).values())


def test_steps_without_effect_are_noted(baseline, context):
    whole = {"technique": "family_member"}
    nothing = {"technique": "filter_pruning", "ratios": [0, 0]}
    deaf = {"technique": "distillation", "weight": 0}
    compressed = pipeline.start(baseline, candidate(whole, nothing, deaf), context)
    assert [note.split(":")[0] for note in compressed.notes] == [
        "family_member",
        "filter_pruning",
        "distillation",
    ]
    assert compressed.step(Distillation) is None
    assert compressed.network is baseline


def test_a_pattern_whose_block_was_cut_spares_nothing_and_fails_nothing(context):
    fresh = untrained(Residual(widths=(8, 16), depths=(2, 2)), context)
    network = pipeline.train_baseline(fresh, epochs=1, context=context)
    shallow = {"technique": "family_member", "depth": 1}
    exact = {"technique": "sparsity", "exclude": "layer1.1.*, linear"}
    compressed = pipeline.start(network, candidate(shallow, exact), context)
    module = compressed.network.module
    assert not hasattr(module.linear, "parametrizations")
    assert hasattr(module.conv1, "parametrizations")


def test_a_pattern_also_means_the_factors_of_a_layer_that_was_split(baseline, context):
    split = {"technique": "low_rank", "size_ratio": 0.3, "energy": 1.0, "exclude": "linear"}
    name = "layer2.0.conv2"
    bits = INT4 | {"layer_bits": f"{name}=2", "exclude": "conv1"}
    spared = {"technique": "sparsity", "exclude": name}
    module = pipeline.start(baseline, candidate(split, spared, bits), context).network.module
    factors = list(module.get_submodule(name).children())
    assert len(factors) >= 2
    for factor in factors:
        (grid,) = factor.parametrizations.weight
        assert grid.rule.bits == 2


def test_a_pattern_that_never_matched_is_an_invalid_candidate(baseline, context):
    with pytest.raises(InvalidCandidate, match=r"quantization: the pattern 'layer9\.\*'"):
        pipeline.start(baseline, candidate(INT4 | {"exclude": "layer9.*"}), context)


def test_recovery_brings_a_pruned_network_back(baseline, context):
    pruned = pipeline.start(baseline, candidate(PRUNE, DISTIL), context)
    taught = replace(context, teacher=baseline)
    recovered = pipeline.recover(pruned, taught, epochs=6)
    assert accuracy(recovered.network, context) > accuracy(pruned.network, context) + 0.1
    assert recovered.epochs == 6
    assert recovered.train_images_per_second > 0


def test_no_epochs_change_nothing(baseline, context):
    pruned = pipeline.start(baseline, candidate(PRUNE), context)
    assert pipeline.recover(pruned, context, epochs=0) is pruned


def test_segments_count_on_and_equal_seeds_repeat_them(baseline, context):
    pruned = pipeline.start(baseline, candidate(PRUNE, INT4), context)
    first = pipeline.recover(pruned, context, epochs=1)
    then, again = (pipeline.recover(first, context, epochs=2) for _ in range(2))
    assert then.epochs == 3
    assert all(torch.equal(state(then)[name], state(again)[name]) for name in state(then))
    other = pipeline.recover(first, replace(context, seed=1), epochs=2)
    assert not torch.equal(state(then)["bn1.weight"], state(other)["bn1.weight"])


def test_the_teachers_logits_are_kept_between_trials(baseline, context, tmp_path):
    pruned = pipeline.start(baseline, candidate(PRUNE, DISTIL), context)
    taught = replace(context, teacher=baseline, cache_folder=tmp_path)
    one = pipeline.recover(pruned, taught, epochs=2)
    assert len(list(tmp_path.iterdir())) == 2
    again = pipeline.recover(pruned, replace(taught, device=DEVICE), epochs=2)
    assert torch.equal(state(one)["linear.weight"], state(again)["linear.weight"])


def test_a_recovery_trains_at_the_rate_of_its_schedule(baseline, context):
    start = pipeline.start(baseline, candidate(PRUNE, DISTIL), context)
    taught = replace(context, teacher=baseline)
    usual, same, still = (
        state(pipeline.recover(start, taught, epochs=6, schedule=schedule))["linear.weight"]
        for schedule in (Schedule(), Schedule(learning_rate=0.02), Schedule(learning_rate=0.0))
    )
    assert torch.equal(usual, same)
    assert torch.equal(still, state(start)["linear.weight"])
    assert not torch.equal(usual, still)


def test_a_context_says_on_how_many_views_its_teachers_answer(baseline, context, tmp_path):
    pruned = pipeline.start(baseline, candidate(PRUNE, DISTIL), context)
    taught = replace(context, teacher=baseline, cache_folder=tmp_path, teacher_views=1)
    pipeline.recover(pruned, taught, epochs=3)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ValueError, match="at least one view of the images, got 0"):
        pipeline.recover(pruned, replace(taught, teacher_views=0), epochs=1)


def test_distillation_without_a_teacher_is_an_invalid_candidate(baseline, context):
    compressed = pipeline.start(baseline, candidate(DISTIL), context)
    with pytest.raises(InvalidCandidate, match="teacher"):
        pipeline.recover(compressed, context, epochs=1)


def test_ratios_for_another_number_of_stages_are_an_invalid_candidate(baseline, context):
    with pytest.raises(InvalidCandidate, match="2, got 3"):
        pipeline.start(baseline, candidate(PRUNE | {"ratios": [0.5] * 3}), context)


def test_recovery_stops_when_asked(baseline, context):
    compressed = pipeline.start(baseline, candidate(), context)
    with pytest.raises(Stopped):
        pipeline.recover(compressed, replace(context, should_stop=lambda: True), epochs=1)
