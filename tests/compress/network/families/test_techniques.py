"""Every technique on every family: its file answers like the network, before and after recovery."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from compress import pipeline
from compress.evaluation import runtime
from compress.export import writer
from compress.network.sources.family import FamilyMembers
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.training.context import TrialContext
from tests.compress import contract
from tests.compress.contract import CASES, Case
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES
from tests.devices import DEVICE


@pytest.fixture(scope="module")
def data() -> ImageData:
    x_NCHW = tiny.images(96)
    train = Images(x_NCHW=x_NCHW[:64], y_N=torch.arange(64) % tiny.NUM_CLASSES)
    # With no right answers every recovery is as good as none, and so it is never dropped.
    rest = Images(x_NCHW=x_NCHW[64:], y_N=torch.full((32,), -1))
    return ImageData(train=train, validation=rest, test=None, num_classes=tiny.NUM_CLASSES)


@pytest.mark.cross("case", "name")
@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.technique}: {case.name}")
def test_the_file_answers_like_the_network(
    case: Case, name: str, data: ImageData, tmp_path: Path
) -> None:
    network = tiny.network(SAMPLES[name])
    context = TrialContext(
        members=FamilyMembers(),
        data=data,
        device=DEVICE,
        seed=0,
        teacher=network,
        task=IMAGE_CLASSIFICATION,
    )
    start = pipeline.start(network, Candidate(steps=(case.config,)), context)
    for compressed in (start, pipeline.recover(start, context, epochs=1)):
        artifact = writer.write(compressed, tmp_path, data=data, task=IMAGE_CLASSIFICATION)
        answers_NK = runtime.answers(runtime.session(artifact.path), data.validation.x_NCHW)
        if contract.runs_in_integers(compressed):
            as_written = runtime.session(artifact.path, optimise=False)
            written_NK = runtime.answers(as_written, data.validation.x_NCHW)
            assert contract.clear_flips(answers_NK, written_NK) == 0
            continue
        simulated_NK = contract.simulated(compressed, data.validation.x_NCHW)
        spread = float(simulated_NK.max() - simulated_NK.min())
        np.testing.assert_allclose(answers_NK, simulated_NK, atol=1e-3 * spread)
