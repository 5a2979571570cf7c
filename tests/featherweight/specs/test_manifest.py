from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path

import pytest
from pydantic import ValidationError

from compress.network.families.residual.config import Residual
from compress.network.preprocessing import Normalisation
from compress.network.sources.source import OnnxSource
from compress.techniques import registry
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.quantization.config import Quantization
from compress.values import versions
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity
from compress.values.revision import FIRST_REVISION
from compress.values.schedule import Schedule
from featherweight.specs import manifest

GOLDEN = Path(__file__).parents[2] / "golden"
CANDIDATE = Candidate(steps=(FilterPruning(ratios=(0.5, 0.25, 0.1)), Quantization(weight_bits=4)))
MEASUREMENT = Measurement(
    accuracy={"validation": 0.97, "test": 0.96},
    size_bytes=1234,
    download_bytes=1000,
    peak_memory_bytes=12_000_000,
    load_ms=2.5,
    parameters=500,
    macs=9000,
    latency=Latency(median_ms=0.1, p95_ms=0.2, threads=1, batch=1),
    parity=Parity(max_abs_error=0.01, agreement=0.99, images=256),
    notes=("a note",),
)


@pytest.fixture
def written():
    return manifest.Manifest(
        candidate=CANDIDATE,
        candidate_digest=CANDIDATE.digest(),
        architecture=Residual(),
        origin=manifest.Origin(
            job="digits", trial=3, rung=1, epochs=4, seed=7, data_sha256="ab" * 32
        ),
        input=manifest.Input(shape=(1, 8, 8), normalisation=Normalisation(mean=(0.3,), std=(0.4,))),
        num_classes=10,
        measurement=MEASUREMENT,
        file_sha256="cd" * 32,
        file_bytes=1234,
        versions=versions.collect(),
    )


def test_a_manifest_comes_back_unchanged(written):
    assert manifest.load(manifest.dump(written)) == written


def test_a_manifest_names_its_classes_and_one_of_before_has_none(written):
    named = written.model_copy(update={"class_names": ("cat", "Ähre")})
    assert manifest.load(manifest.dump(named)).class_names == ("cat", "Ähre")
    before = json.loads(manifest.dump(written))
    del before["class_names"]
    assert manifest.load(json.dumps(before)) == written


def test_a_manifest_of_an_uploaded_file_names_it_and_its_ports(written):
    source = OnnxSource(sha256="12" * 32)
    taken = written.input.model_copy(update={"name": "pixels", "layout": "NHWC"})
    told = manifest.dump(written.model_copy(update={"architecture": source, "input": taken}))
    read = manifest.load(told)
    assert (read.architecture, read.input.name, read.input.layout) == (source, "pixels", "NHWC")
    assert read.format_version == 2


def test_a_manifest_names_the_uploaded_teacher(written):
    origin = written.origin.model_copy(update={"tutor_sha256": "ef" * 32})
    taught = written.model_copy(update={"origin": origin})
    assert manifest.load(manifest.dump(taught)).origin.tutor_sha256 == "ef" * 32
    assert written.origin.tutor_sha256 is None


def test_a_manifest_says_how_images_were_varied(written):
    varied = {"recovery": Schedule(augment="auto"), "augmented": "shift_flip"}
    origin = written.origin.model_copy(update=varied)
    read = manifest.load(manifest.dump(written.model_copy(update={"origin": origin}))).origin
    assert (read.recovery.augment, read.augmented) == ("auto", "shift_flip")


def test_a_manifest_says_how_to_feed_the_file(written):
    taken = manifest.load(manifest.dump(written)).input
    assert (taken.name, taken.dtype, taken.layout) == ("input", "float32", "NCHW")
    assert (taken.values, taken.shape) == ("raw", (1, 8, 8))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"candidate_digest": "00" * 32}, "candidate_digest must be"),
        ({"file_bytes": 1}, "differ"),
        ({"file_sha256": "abc"}, "pattern"),
        ({"format_version": 3}, "format_version"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(written, change, complaint):
    document = written.model_dump() | change
    with pytest.raises(ValidationError, match=complaint):
        manifest.Manifest.model_validate(document)


def as_recorded(loaded):
    """Its text, but for what a text without the field means."""
    document = loaded.model_dump(mode="json", exclude_unset=True)
    assert loaded.origin.recovery.augment == "by_channels"
    document["origin"].get("recovery", {}).pop("augment", None)
    return document


def as_written(loaded):
    """Its text, but for what the text lacked and ``of_record`` had to say."""
    document = as_recorded(loaded)
    for step in document["candidate"]["steps"]:
        assert step.pop("short_scales", False) is False
        if step.get("activation_observer") == "minmax":
            del step["activation_observer"]
    return document


def test_a_manifest_of_version_2_loses_nothing_when_it_is_read():
    text = (GOLDEN / "manifest-v2.json").read_text()
    loaded = manifest.load(text)
    # What later versions added is at its default, and was not in the file.
    assert json.dumps(as_written(loaded)) == json.dumps(json.loads(text))
    assert manifest.load(manifest.dump(loaded)) == loaded
    assert loaded.candidate.digest() == loaded.candidate_digest
    assert loaded.measurement.engine_revision == FIRST_REVISION


def test_a_manifest_with_seven_techniques_loses_nothing_when_it_is_read():
    text = (GOLDEN / "manifest-v2-all.json").read_text()
    loaded = manifest.load(text)
    newer = {"vocabulary_pruning", "noise", "adjusted_loss"}
    older = [name for name in registry.ORDER if name not in newer]
    assert [step.technique for step in loaded.candidate.configs] == older[:7]
    assert json.dumps(as_written(loaded)) == json.dumps(json.loads(text))
    assert manifest.load(manifest.dump(loaded)) == loaded
    # A changed default or a renamed field would turn old trials into other ones.
    recorded = "9785a2e043373c85abc7c8ccf59d5c22a9dcf6189fdd098b98ae0a6cc7673e0d"
    assert loaded.candidate.digest() == loaded.candidate_digest == recorded


def test_a_manifest_of_a_mirrored_file_loses_nothing_when_it_is_read():
    text = (GOLDEN / "manifest-v2-mirrored.json").read_text()
    loaded = manifest.load(text)
    assert json.dumps(as_recorded(loaded)) == json.dumps(json.loads(text))
    recorded = "d2760513bd803fb54107a9670cad2f600710e7551e29823624550f41cdb79147"
    assert loaded.candidate.digest() == loaded.candidate_digest == recorded
    assert loaded.candidate.describe() == "w3a8 gptq + mirrored"


def test_a_manifest_of_few_words_loses_nothing_when_it_is_read():
    text = (GOLDEN / "manifest-v2-words.json").read_text()
    loaded = manifest.load(text)
    assert manifest.load(manifest.dump(loaded)) == loaded
    assert json.dumps(loaded.model_dump(mode="json")) == json.dumps(json.loads(text))
    recorded = "cec7987c91271a41e866ffa35fc0059e76ea7bf05fc17ff78e5ec4ef9dec9aa0"
    assert loaded.candidate.digest() == loaded.candidate_digest == recorded
    assert loaded.kept_words == (0, 1, 4)


def test_every_technique_is_in_a_golden_manifest():
    found = [manifest.load(path.read_text()) for path in GOLDEN.glob("manifest-v2*.json")]
    names = {step.technique for each in found for step in each.candidate.configs}
    assert names == set(registry.ORDER)


def test_a_manifest_of_version_1_is_upgraded_when_it_is_read():
    document = json.loads((GOLDEN / "manifest-v1.json").read_text())
    loaded = manifest.load(json.dumps(document))
    assert loaded.format_version == 2
    assert loaded.measurement.download_bytes is None
    assert loaded.measurement.peak_memory_bytes is None
    newer = manifest.load((GOLDEN / "manifest-v2.json").read_text())
    assert loaded.candidate == newer.candidate
    assert loaded.candidate_digest == newer.candidate_digest != document["candidate_digest"]
    assert manifest.load(manifest.dump(loaded)) == loaded
    kept = as_written(loaded)
    changed = {"format_version", "candidate_digest"}
    assert {name: kept[name] for name in kept if name not in changed} == {
        name: document[name] for name in document if name not in changed
    }


@pytest.mark.parametrize(
    "change",
    [{"candidate_digest": "00" * 32}, {"candidate": {"steps": []}}, {"candidate": None}],
)
def test_a_manifest_of_version_1_that_contradicts_itself_is_refused(change):
    document = json.loads((GOLDEN / "manifest-v1.json").read_text()) | change
    with pytest.raises(ValidationError):
        manifest.load(json.dumps(document))


def test_text_that_is_no_manifest_is_refused():
    with pytest.raises(ValidationError):
        manifest.load("{}")


def test_versions_are_those_installed():
    found = versions.collect()
    assert found["python"] == platform.python_version()
    for package in ("torch", "onnx", "onnxruntime"):
        assert found[package] == importlib.metadata.version(package)
    assert set(found) == {"python", *versions.PACKAGES}
