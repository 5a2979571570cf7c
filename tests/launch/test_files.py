"""Files with what stands beside them, by the command line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import onnx
import onnxruntime
import pytest

from featherweight.cards import markdown
from featherweight.cards.card import ModelCard
from store.files.file_store import FileStore
from store.session import open_database
from tests import onnx_files
from tests.service.delivering import delivered
from tests.service.running import Service


@pytest.fixture(scope="module")
def artifacts(house):
    """Files of a trial, by role, on the disk of a real service."""
    database = open_database(house.database_url, check_schema=False)
    with httpx2.Client(base_url=house.url) as client:
        service = Service(client, database, FileStore(house.folder / "files"), None)
        yield delivered(service, onnx_files.network(names=("pixels", "scores")), data="described")
    database.dispose()


def test_a_front_comes_with_cards_beside_its_files(run, artifacts, tmp_path):
    done = run("download", artifacts["onnx"]["job"], "--folder", str(tmp_path), "--json")
    assert (done.status, done.err) == (0, "")
    [path] = map(Path, done.json)
    card = ModelCard.model_validate_json(path.with_suffix(".json").read_bytes())
    assert card.file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_suffix(".md").read_text() == markdown.write(card)
    program = run("snippet", str(path))
    assert "raw values: 0 to 16, as of the data" in program.out
    (tmp_path / "run.py").write_text(program.out)
    command = [sys.executable, "run.py", path.name]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    scores = onnxruntime.InferenceSession(path).run(None, {"pixels": np.zeros((1, 1, 8, 8), "f4")})
    best = max(range(2), key=lambda k: scores[0][0][k])
    assert printed.stdout.splitlines()[0] == f"{scores[0][0][best]:.5f}\tclass {best}"


def test_cards_can_be_left_out_and_put_into_the_file(run, artifacts, tmp_path):
    chosen = [artifacts["onnx"]["id"], "--folder", str(tmp_path), "--no-card"]
    assert run("download", *chosen).status == 0
    done = run("download", *chosen, "--metadata", "--target", "plain", "--json")
    [plain] = map(Path, done.json)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{artifacts['onnx']['id']}{end}.onnx" for end in ("", ".plain.metadata")}
    said = {entry.key: entry.value for entry in onnx.load(plain).metadata_props}
    assert json.loads(said["featherweight.input"])["range"] == [0, 16]
    # No card lies beside it, and none is needed.
    assert "raw values: 0 to 16, as of the data" in run("snippet", str(plain)).out


def test_a_card_of_another_file_is_not_believed(run, artifacts, tmp_path):
    assert run("download", artifacts["onnx"]["id"], "--folder", str(tmp_path)).status == 0
    path = tmp_path / f"{artifacts['onnx']['id']}.onnx"
    path.write_bytes(onnx_files.network(names=("pixels", "scores"), seed=1))
    for text in (path.with_suffix(".json").read_text(), "{}", "\x00"):
        path.with_suffix(".json").write_text(text)
        assert "the file does not say its own" in run("snippet", str(path)).out


def test_a_file_without_a_card_is_named_and_comes_all_the_same(run, artifacts, tmp_path):
    done = run("download", artifacts["manifest"]["id"], "--folder", str(tmp_path))
    assert (done.status, done.err) == (0, "")
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_what_is_no_network_gets_no_program(run, tmp_path):
    path = tmp_path / "x.onnx"
    for content in (None, b"", b"no file"):
        if content is not None:
            path.write_bytes(content)
        done = run("snippet", str(path), "--language", "java")
        assert done.status == 2
        assert str(path) in done.err
    path.write_bytes(onnx_files.network(image=(8, 8, 8)))
    done = run("snippet", str(path))
    assert done.status == 2
    assert "say NCHW or NHWC" in done.err
    assert run("snippet", str(path), "--layout", "NHWC").status == 0
