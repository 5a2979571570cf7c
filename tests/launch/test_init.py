"""``featherweight init``: a job file that can be read, from answers and a look at the files."""

import numpy as np
import pytest
from PIL import Image

from featherweight import jobfile
from featherweight.cli.ends import begin

ANSWERS = ["--goal", "size", "--points", "1.5", "--trials", "12"]


def test_a_job_file_is_written_with_a_comment_on_every_part(run, tmp_path):
    file = tmp_path / "job.yaml"
    done = run("init", str(file), "--network", "none", "--data", "digits", *ANSWERS)
    assert (done.status, done.err) == (0, "")
    assert "--dry-run" in done.out
    spec = jobfile.read(file).spec
    assert [objective.metric for objective in spec.objectives] == ["accuracy", "size_bytes"]
    assert [one.label for one in spec.constraints] == ["accuracy >= baseline - 1.5 points"]
    assert spec.budget.trials == 12
    assert file.read_text().count("# ") >= 8
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]
    dry = run("submit", str(file), "--dry-run", "--json")
    assert dry.status == 0, dry.err


def test_a_file_that_is_there_is_not_replaced_unasked(run, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("mine")
    given = ["--network", "none", "--data", "digits", *ANSWERS]
    assert run("init", str(file), *given).status == 2
    assert file.read_text() == "mine"
    assert run("init", str(file), *given, "--force", "--json").json == {"file": str(file)}


def test_what_lies_beside_the_job_file_is_proposed(tmp_path):
    assert begin._network_in(tmp_path) == "none"
    assert begin._data_in(tmp_path) == "digits"
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "pets" / "cat" / "1.png")
    assert begin._data_in(tmp_path) == "pets"
    np.savez(tmp_path / "my data.npz", x_train=np.zeros(1))
    (tmp_path / "net.onnx").write_bytes(b"")
    assert begin._data_in(tmp_path) == "my data.npz"
    assert begin._network_in(tmp_path) == "net.onnx"


@pytest.mark.parametrize("goal", begin.Goal)
def test_every_goal_gives_a_job(tmp_path, goal):
    data = tmp_path / 'a "b": c.npz'
    np.savez(data, x_train=np.zeros(1))
    found = begin.JobAnswers(network="none", data=data.name, goal=goal, points=0, trials=4)
    file = tmp_path / "job.yaml"
    file.write_text(begin.written(found))
    read = jobfile.read(file)
    assert read.data is not None
    assert len(read.spec.objectives) == (3 if goal == "both" else 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--network", "nowhere.onnx", "--data", "digits"], "there is no file"),
        (["--network", "none", "--data", "notes.txt"], "cannot be used"),
        (["--network", "notes.txt", "--data", "digits"], "cannot be used"),
        (["--network", "none", "--data", "empty"], "holds no pictures"),
        (["--network", "none"], "no terminal to ask at: give --data"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(run, tmp_path, given, words):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    done = run("init", str(tmp_path / "job.yaml"), *given, *ANSWERS)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
    assert not (tmp_path / "job.yaml").exists()
