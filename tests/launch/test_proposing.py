"""Candidates from a file, and from somebody else's study."""

import json

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution

from featherweight.specs.jobs.candidates import ProposedSchema
from tests.e2e.conftest import TINY

STEPS = [
    {"technique": "filter_pruning", "ratios": [0.25, 0.5]},
    {"technique": "quantization", "weight_bits": 4},
]


@pytest.fixture
def job(run, tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(TINY | {"budget": {"trials": 9, "parallel_trials": 1}}))
    return run("submit", str(path), "--json").json["id"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "candidates.yaml"
    path.write_text(yaml.safe_dump([{"steps": STEPS}]))
    return path


@pytest.fixture
def foreign(tmp_path):
    """A study with two objectives: three trials on its front, one behind it, one infeasible."""
    path = tmp_path / "foreign.db"
    study = optuna.create_study(
        storage=f"sqlite:///{path}", study_name="mine", directions=["maximize", "minimize"]
    )
    for ratio, bits, values, violation in (
        (0.31, 8, (0.97, 50.0), -1.0),
        (0.1, 4, (0.95, 20.0), -1.0),
        (0.5, 8, (0.90, 60.0), -1.0),
        (0.7, 4, (0.99, 10.0), 0.5),
    ):
        study.add_trial(
            optuna.trial.create_trial(
                values=list(values),
                params={"filter_pruning.ratios.0": ratio, "quantization.weight_bits": bits,
                        "lr": 0.1},
                distributions={
                    "filter_pruning.ratios.0": FloatDistribution(0.0, 0.9),
                    "quantization.weight_bits": CategoricalDistribution([4, 8]),
                    "lr": FloatDistribution(0.0, 1.0),
                },
                constraints={"c": violation},
            )
        )  # fmt: skip
    return path


def test_propose_reads_a_file_and_says_what_became_of_each(run, job, file):
    done = run("propose", job, str(file), "--json")
    assert (done.status, done.err) == (0, "")
    [answer] = [ProposedSchema.model_validate(one) for one in done.json]
    assert (answer.is_new, answer.state, answer.in_space) == (True, "waiting", False)
    again = run("propose", job, str(file))
    assert again.status == 0
    assert "known" in again.out
    assert "outside the space" in again.out


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"steps": STEPS}, "expected a list of candidates"),
        ([{"steps": STEPS, "params": {}}], "give either params or steps"),
        ([{"steps": [{"technique": "magic"}]}], "0.steps.0"),
        ([], "at least 1 item"),
    ],
)
def test_a_file_that_holds_no_candidates_is_wrong_input(run, job, file, document, words):
    file.write_text(json.dumps(document))
    done = run("propose", job, str(file))
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_what_the_job_cannot_try_is_wrong_input_with_the_services_reason(run, job, file):
    steps = [{"technique": "filter_pruning", "ratios": [0.25]}]
    file.write_text(json.dumps([{"steps": steps}]))
    done = run("propose", job, str(file))
    assert done.status == 2
    assert "the network has 2 stages" in done.err


def test_the_best_of_a_foreign_study_is_proposed_by_the_names_of_the_knobs(run, job, foreign):
    done = run("study", "import", str(foreign), "mine", job, "--count", "2", "--json")
    assert done.status == 0, done.err
    assert "no knob for lr" in done.err
    assert "no parameter for" in done.err
    assert [one["is_new"] for one in done.json] == [True, True]
    assert [one["in_space"] for one in done.json] == [True, True]
    first, second = (one["description"] for one in done.json)
    assert first.startswith("prune 0.3/0 ")
    assert second.startswith("prune 0.1/0 ")
    again = run("study", "import", f"sqlite:///{foreign}", "mine", job, "--json")
    assert [one["is_new"] for one in again.json] == [False, False, True, True]


@pytest.mark.parametrize(
    ("file_name", "study", "words"),
    [
        ("nowhere.db", "mine", "there is no file"),
        ("foreign.db", "other", "there is no study 'other'"),
        ("empty.db", "mine", "there are no studies of Optuna"),
        ("text.db", "mine", "cannot read"),
    ],
)
def test_a_study_that_cannot_be_read_is_said_so(
    run, job, foreign, tmp_path, file_name, study, words
):
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database at all, only some text\n" * 100)
    done = run("study", "import", str(tmp_path / file_name), study, job)
    assert (done.status, done.out) == (1, "")
    assert words in done.err
    assert not (tmp_path / "nowhere.db").exists()


def test_a_study_of_other_things_has_nothing_for_the_job(run, job, tmp_path):
    path = tmp_path / "other.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="mine")
    done = run("study", "import", str(path), "mine", job)
    assert "has no complete trial" in done.err
    study.add_trial(
        optuna.trial.create_trial(
            value=1.0, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}
        )
    )
    done = run("study", "import", str(path), "mine", job)
    assert (done.status, "no parameter of the study 'mine'" in done.err) == (1, True)
