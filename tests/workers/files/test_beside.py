"""The baseline's file lies ready to be timed beside a candidate's, downloaded once."""

import pytest
import torch

from compress.techniques.candidate import Candidate
from featherweight.client.transport import file_digest
from featherweight.specs.protocol import Assignment, BaselineFile, TrainingTask
from tests import factories
from workers.files.cache import Cache
from workers.resources import TrialResources


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "baseline.onnx"
    path.write_bytes(b"the bytes of a file")
    return path


@pytest.fixture
def fetched():
    return []


@pytest.fixture
def resources(file, fetched, tmp_path):
    def fetch(sha256, target):
        fetched.append(sha256)
        target.write_bytes(file.read_bytes())

    threads = torch.get_num_threads()
    cache = Cache(tmp_path / "cache", fetch=fetch, limit_bytes=10**6)
    yield TrialResources(cache, logits_folder=tmp_path / "logits")
    torch.set_num_threads(threads)


def assignment(baseline_file):
    return Assignment(
        attempt="a",
        token="t",
        lease_seconds=30,
        job="j",
        trial="t",
        number=1,
        phase="search",
        candidate=Candidate(),
        seed=0,
        rungs=(0,),
        architecture=factories.ARCHITECTURE,
        train=TrainingTask(epochs=1, normalisation=None),
        weights=None,
        dataset="0" * 64,
        num_classes=2,
        splits=("validation",),
        baseline_file=baseline_file,
    )


def test_the_baselines_file_is_fetched_by_its_digest_once(resources, file, fetched):
    sha256 = file_digest(file)
    given = assignment(BaselineFile(sha256=sha256, latency_ms=2.5))
    for _ in range(2):
        with resources.beside(given) as beside:
            assert beside is not None
            assert beside.path.read_bytes() == file.read_bytes()
            assert beside.reference_ms == 2.5
    assert fetched == [sha256]


def test_the_baseline_itself_has_nothing_beside_it(resources, fetched):
    with resources.beside(assignment(None)) as beside:
        assert beside is None
    assert fetched == []
