"""Search with ``thresholding`` where it is among the techniques, and print what was found.

``test_adding.py`` runs this in a process of its own, on a tree to which the technique was added.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from onnx import numpy_helper

from compress import pipeline
from compress.export import writer
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.rules import canonical
from docs import generate
from search.errors import TechniqueDoesNotFit
from search.samplers import Knowledge, build
from search.space import feasibility, space
from search.space.known_costs import KnownCosts
from search.space.space import Space
from search.study import frozen
from tests import factories
from tests.compress.applying import context_of
from tests.compress.network.families import tiny

ARCHITECTURE = Residual(widths=(4, 8), depths=(1, 1))
OUTLINE = factories.outline(ARCHITECTURE, input_shape=(1, 16, 16), num_classes=5)
TECHNIQUES: dict[str, Any] = {"filter_pruning": {}, "thresholding": {}}
TRIALS = 3


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A network with its images, and where files go."""

    network: Network
    data: ImageData
    folder: Path

    def file(self, candidate: Candidate, name: str) -> Path:
        made = pipeline.start(self.network, candidate, context_of(self.data))
        assert made.steps == candidate.steps
        return writer.write(
            made, self.folder, data=self.data, name=name, task=IMAGE_CLASSIFICATION
        ).path


def main() -> None:
    folder = Path(sys.argv[1])
    built = space.build(factories.spec(techniques=TECHNIQUES), OUTLINE)
    lab = Lab(network=tiny.network(ARCHITECTURE), data=_data(), folder=folder)
    found = {
        "knobs": {knob.name: list(knob.choices) for knob in built.knobs},
        "controls": [name for name, _ in built.controls()],
        "excluded": _excluded(),
        "inactive": _inactive(),
        "costs": _costs(KnownCosts(space=built)),
        "trials": _search(built, KnownCosts(space=built), lab),
        "files": _files(lab),
        "pages": {path.stem: text for path, text in generate.pages().items()},
    }
    (folder / "found.json").write_text(json.dumps(found))


def _excluded() -> str:
    asked = factories.spec(techniques={"sparsity": {}, "thresholding": {}})
    try:
        space.build(asked, OUTLINE)
    except TechniqueDoesNotFit as error:
        return str(error)
    return ""


def _inactive() -> list[str]:
    """Digests of three candidates, the first two of which differ where nothing counts."""
    steps = [
        {"technique": "thresholding", "shrinkage": 0.5},
        {"technique": "thresholding"},
        {"technique": "thresholding", "shrinkage": 0.5, "mode": "soft"},
    ]
    assert canonical.disabled("thresholding.level") == 0.0
    return [Candidate.model_validate({"steps": [step]}).digest() for step in steps]


def _costs(known: KnownCosts) -> dict[str, Any]:
    """Estimated bytes by level, and the least bytes of two spaces without and with zeros."""
    start = {knob.name: 0.0 for knob in known.space.turning} | {"thresholding.mode": "hard"}
    levels = [known.of({**start, "thresholding.level": v})["size_bytes"] for v in (0.0, 0.2, 0.4)]
    lowest = []
    for values in ([0.0], [0.0, 0.4]):
        spec = factories.spec(techniques={"thresholding": {"level": values}})
        built = space.build(spec, OUTLINE)
        lowest.append(feasibility.lower_bounds(spec, built).size_bytes)
    return {"levels": levels, "lowest": lowest}


def _search(built: Space, known: KnownCosts, lab: Lab) -> list[dict[str, Any]]:
    """Proposals of the house's own sampler, each compressed, written and told back."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    knobs = frozen.distributions(built)
    knowledge = Knowledge(
        space=knobs, estimates={1: lambda params: known.column("size_bytes", params)}
    )
    found = []
    for number in range(TRIALS):
        study.sampler = build("known_cost", seed=number, trials=TRIALS, known=knowledge)
        trial = study.ask(knobs)
        candidate = built.candidate(trial.params)
        path = lab.file(candidate, f"trial-{number}")
        study.tell(trial, [_agreement(lab, candidate), path.stat().st_size])
        found.append({"params": trial.params, "bytes": path.stat().st_size})
    return found


def _agreement(lab: Lab, candidate: Candidate) -> float:
    """The share of images that the candidate answers as the network does."""
    x_NCHW = lab.data.validation.x_NCHW
    made = pipeline.start(lab.network, candidate, context_of(lab.data)).network
    with torch.no_grad():
        whole, small = (n.module.eval()(x_NCHW).argmax(1) for n in (lab.network, made))
    return (whole == small).double().mean().item()


def _files(lab: Lab) -> dict[str, dict[str, float]]:
    """Bytes of the files of some levels, and the share of zeros in the weights they compute with.

    The files are those of the network with thresholds alone.
    """
    found = {}
    for level in (0.0, 0.4):
        step = {"technique": "thresholding", "level": level}
        steps = [step] if level else []
        candidate = Candidate.model_validate({"steps": steps})
        path = lab.file(candidate, f"level-{level}")
        found[str(level)] = {"bytes": path.stat().st_size, "zeros": _zeros(lab, candidate)}
    return found


def _zeros(lab: Lab, candidate: Candidate) -> float:
    made = pipeline.start(lab.network, candidate, context_of(lab.data))
    graph = writer.float_graph(made.network).graph
    weights = [numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) > 1]
    zeros = sum(int(np.count_nonzero(w == 0)) for w in weights)
    return zeros / sum(w.size for w in weights)


def _data() -> ImageData:
    x_NCHW = tiny.images(32)
    part = Images(x_NCHW=x_NCHW, y_N=torch.arange(32) % tiny.NUM_CLASSES)
    return ImageData(train=part, validation=part, test=None, num_classes=tiny.NUM_CLASSES)


if __name__ == "__main__":
    main()
