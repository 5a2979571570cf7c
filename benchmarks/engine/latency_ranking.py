"""How well latencies are ranked before they are measured: by counting, and by learning.

``python -m benchmarks.engine.latency_ranking``: random candidates of the published ResNet-20 are
pruned, split, quantized and timed one by one. Printed is Kendall's tau of the measured latency with
multiply-accumulates, and with what the surrogate of the ``known_cost`` sampler predicts of those it
has not learned from, after 10, 20 and 30 measurements. 20 draws of which ones are learned from;
mean and deviation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.trial import create_trial
from scipy.stats import kendalltau

from benchmarks.data import cifar
from benchmarks.record import Table, keeps
from compress import pipeline
from compress.evaluation import latency
from compress.export import writer
from compress.network.sources.source import FamilySource
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.training.context import TrialContext
from featherweight.specs.job import JobSpec
from search.samplers import Knowledge, history
from search.samplers.known_cost import knowledge, model
from search.samplers.parameters import Parameter
from search.space import space
from search.space.known_costs import KnownCosts
from search.space.space import Space
from search.study import frozen

Params = Sequence[Mapping[str, Any]]
CANDIDATES = 60
DRAWS = 20
_MARKS = (10, 20, 30)
_TECHNIQUES: Mapping[str, Any] = {
    "filter_pruning": {"ratios": {"low": 0.0, "high": 0.5, "step": 0.125}},
    "low_rank": {"energy": [1.0, 0.95, 0.8]},
    "quantization": {"weight_bits": [8, 4], "activations": ["int8", "float"]},
}


@keeps(
    "engine/latency_ranking",
    "How well are latencies ranked before they are measured (Kendall's tau)?",
    seeds=range(DRAWS),
    headline=("multiply-accumulates", f"known_cost after {_MARKS[-1]} measurements"),
)
def main(table: Table) -> None:
    """Measure, then print how well each way ranks."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = _space()
    counted = KnownCosts(space=found)
    params = _drawn(found)
    measured = np.array(_latencies(found, params))
    print(f"{len(params)} candidates, {measured.min():.3f} to {measured.max():.3f} ms, one thread")
    by_macs = _tau(counted.column("macs", params), measured.tolist())
    print(f"multiply-accumulates  tau {by_macs:.3f}")
    table.add({"ranked by": "multiply-accumulates", "tau": round(by_macs, 3)})
    known = Knowledge(space=frozen.distributions(found))
    for mark in _MARKS:
        taus = [_learned(known, params, measured, mark, draw) for draw in range(DRAWS)]
        tau = f"{np.mean(taus):.3f} ± {np.std(taus):.3f}"
        print(f"learned from {mark:2}       tau {tau}")
        table.add({"ranked by": f"known_cost after {mark} measurements", "tau": tau})


def _space() -> Space:
    spec = JobSpec.model_validate(
        {
            "model": "resnet20",
            "data": "cifar10",
            "techniques": _TECHNIQUES,
            "objectives": ["maximise accuracy", "minimise latency_ms"],
        }
    )
    network = FamilySource(cifar.architecture(20))
    return space.build(spec, network.outline(input_shape=(3, 32, 32), num_classes=10))


def _drawn(found: Space) -> Params:
    random = np.random.default_rng(0)
    distributions = frozen.distributions(found)
    knobs = [Parameter(name=name, distribution=each) for name, each in distributions.items()]
    return [
        {knob.name: knob.value(float(random.choice(knob.codes))) for knob in knobs}
        for _ in range(CANDIDATES)
    ]


def _latencies(found: Space, params: Params) -> list[float]:
    torch.set_num_threads(1)
    data = cifar.images(train_images=1_000)
    context = TrialContext(data=data, device=torch.device("cpu"), seed=0, task=IMAGE_CLASSIFICATION)
    network, measured = cifar.network(), []
    with tempfile.TemporaryDirectory() as name:
        for values in params:
            compressed = pipeline.start(network, found.candidate(values), context)
            written = writer.write(
                compressed, Path(name), data=data, name="candidate", task=IMAGE_CLASSIFICATION
            )
            timed = latency.measure(written.path, data.validation, threads=1, beside=None)
            measured.append(timed.median_ms)
    return measured


def _tau(predicted: Sequence[float], measured: Sequence[float]) -> float:
    found: Any = kendalltau(predicted, measured)
    return float(found.statistic)


def _learned(
    known: Knowledge, params: Params, measured: NDArray[np.float64], mark: int, draw: int
) -> float:
    """Kendall's tau on the candidates that were not among the ``mark`` learned from."""
    assert known.space is not None
    order = np.random.default_rng(draw).permutation(len(params))
    study = optuna.create_study(direction="minimize")
    for index in order[:mark]:
        study.add_trial(
            create_trial(
                params=dict(params[index]),
                distributions=dict(known.space),
                value=float(measured[index]),
            )
        )
    knobs = [Parameter(name=name, distribution=each) for name, each in known.space.items()]
    past = history.read(study, study.trials[-1], knobs)
    rest = [params[index] for index in order[mark:]]
    facts = partial(knowledge.facts, known, past.signs)
    told, others = facts(past.told_params), facts(rest)
    axes = model.Axes.over(knobs, [told, others], has_rungs=False)
    learned = model.learn(past, axes, told, facts([]))
    codes = np.array([[knob.code(values[knob.name]) for knob in knobs] for values in rest])
    predicted = learned.guesses(axes.blocks(codes, others), others)[0].mean
    return _tau(predicted.tolist(), measured[order[mark:]].tolist())


if __name__ == "__main__":
    main()
