"""Files that are no job: each gets a message that says what and where, soon, and no traceback."""

import json
import os
import threading

import pytest
import yaml

from featherweight import candidatefile, documents, jobfile
from featherweight.errors import InvalidJobFile
from tests.featherweight.test_jobfile import JOB
from tests.running import call

BROKEN = {
    "deep.yaml": "[" * 3000,
    "deeper.yaml": "[" * 60_000,
    "deep.json": "[" * 100_000,
    "deep mappings.yaml": "".join(" " * level + "a:\n" for level in range(300)),
    "deep flow.yaml": "{a: " * 5000,
    "deep keys.yaml": "? " * 20_000,
    "deep lists.yaml": "- " * 20_000,
    "binary.yaml": bytes(range(256)) * 10,
    "binary.json": bytes(range(256)) * 10,
    "zero.yaml": "name: a\0b",
    "zero.json": '{"name": "a\\u0000"}',
    "latin.yaml": "name: é".encode("latin-1"),
    "utf-16.yaml": "name: a".encode("utf-16"),
    "equal keys.yaml": "name: a\nname: b",
    "equal keys.json": '{"name": 1, "name": 2}',
    "merge.yaml": "a: &a {x: 1}\nb: {<<: *a}",
    "bomb.yaml": "a: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]",
    "anchors.yaml": "&a " * 20_000,
    "huge.yaml": "a" * (documents.MAX_YAML_BYTES + 1),
    "huge.json": " " * (documents.MAX_BYTES + 1),
    "values.json": "[" + "1," * 400_000 + "1]",
    "empty.yaml": "",
    "number.yaml": "5",
    "tag.yaml": "!!python/object/apply:os.system [id]",
    "bytes.yaml": "name: !!binary aGk=",
    "half a pair.yaml": 'name: "\\ud800"',
    "half a pair.json": '{"name": "\\ud800"}',
    "half a pair as key.json": '{"techniques": {"\\ud800": {}}}',
    "not finite.yaml": "budget: {seconds: .nan}",
    "not finite.json": '{"seed": 1e999}',
    "digits.yaml": "seed: " + "9" * 5000,
    "digits.json": '{"seed": ' + "9" * 5000 + "}",
    "mapping as key.yaml": "? {a: b}\n: c",
    "null as key.yaml": "null: 1",
    "no date.yaml": "name: 2001-13-41",
    "open quote.yaml": "'" + "a" * 60_000,
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("read", [jobfile.read, candidatefile.read])
def test_a_broken_file_is_told_in_words(tmp_path, name, read):
    path, content = tmp_path / name, BROKEN[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidJobFile) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith((str(path), "cannot read"))
    assert len(message.encode()) < 5000


def test_what_is_no_file_is_told_in_words(tmp_path):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("loop.yaml", "folder.yaml", "none.yaml", "a\0b.yaml", "n" * 5000):
        with pytest.raises(InvalidJobFile):
            jobfile.load(tmp_path / name)


def test_a_device_without_an_end_is_read_to_the_limit_only():
    with pytest.raises(InvalidJobFile, match="at most"):
        jobfile.load(jobfile.Path("/dev/zero"))


def test_a_job_may_come_through_a_pipe(tmp_path):
    pipe = tmp_path / "job.yaml"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(yaml.safe_dump(JOB),))
    writer.start()
    assert jobfile.read(pipe).spec.name == "mine"
    writer.join()


@pytest.mark.parametrize("named", ["a\0b.npz", "n" * 5000, "/dev/zero", ".", "none.npz"])
def test_a_dataset_that_is_no_file_is_told_in_words(tmp_path, named):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(JOB | {"data": {"path": named}}))
    with pytest.raises(InvalidJobFile):
        jobfile.read(path)


@pytest.mark.parametrize(
    "name",
    [
        "deeper.yaml",
        pytest.param("deep.json", marks=pytest.mark.proof),
        pytest.param("binary.yaml", marks=pytest.mark.proof),
    ],
)
def test_the_command_line_says_so_without_a_traceback(tmp_path, name):
    path, content = tmp_path / name, BROKEN[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = call("submit", str(path), "--url", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.startswith(f"featherweight: {path}")
    assert "Traceback" not in done.stderr + done.stdout
