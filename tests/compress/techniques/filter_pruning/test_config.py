import json

import pytest
from pydantic import ValidationError

from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from featherweight import jobfile
from search.space import space as spaces
from tests import factories
from tests.running import ROOT


def test_candidates_written_before_there_were_scopes_still_load_and_mean_the_same():
    old = {
        "technique": "filter_pruning",
        "ratios": [0.5, 0.25],
        "importance": "l1",
        "round_to": 4,
    }
    step = Candidate.model_validate_json(json.dumps({"steps": [old]})).steps[0]
    assert step == FilterPruning(ratios=(0.5, 0.25), importance="l1", round_to=4)
    assert (step.scope, step.target, step.steps) == ("stage", "channels", 1)


def digest(**fields):
    return Candidate(steps=(FilterPruning(**fields),)).digest()


def test_fields_that_another_field_makes_meaningless_do_not_tell_candidates_apart():
    plain = digest(ratios=(0.5,))
    assert digest(ratios=(0.5,), ratio=0.3, keep_at_least=0.5, step_epochs=3) == plain
    assert digest(ratios=(0.5,), slimming_penalty=0.01, calibration_images=9) == plain
    whole = digest(scope="uniform", ratio=0.5)
    assert digest(scope="uniform", ratio=0.5, ratios=(0.1, 0.2)) == whole != plain


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, False),
        ({"ratios": (0.0, 0.1)}, True),
        ({"ratio": 0.5}, False),
        ({"scope": "global", "ratio": 0.5}, True),
        ({"scope": "global", "ratios": (0.5,)}, False),
        ({"target": "macs", "ratios": (0.5,)}, False),
        ({"target": "macs", "ratios": (0.5,), "ratio": 0.1}, True),
    ],
)
def test_a_config_knows_whether_it_can_change_anything(config, expected):
    assert FilterPruning(**config).has_effect is expected


@pytest.mark.parametrize("field", ["ratio", "ratios"])
def test_a_ratio_of_one_is_refused_even_where_it_would_not_count(field):
    value = 1.0 if field == "ratio" else (1.0,)
    for scope in ("stage", "global"):
        with pytest.raises(ValidationError, match=r"less than or equal to 0\.95"):
            FilterPruning(**{"scope": scope, field: value})


def test_the_slimming_recipe_is_a_job_whose_candidates_differ_in_how_much_leaves():
    job = jobfile.read(ROOT / "examples" / "network_slimming.yaml")
    space = spaces.build(job.spec, factories.outline(job.spec.model.architecture.config))
    (knob,) = space.turning
    assert knob.name == "filter_pruning.ratio"
    (step,) = space.candidate({knob.name: 0.5}).steps
    assert (step.importance, step.scope, step.target, step.ratios) == (
        "batchnorm", "global", "macs", (),
    )  # fmt: skip
    assert step.slimming_epochs > 0
    assert step.steps > 1
