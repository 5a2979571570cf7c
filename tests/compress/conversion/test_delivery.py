"""What is written for a target is what is measured, and nothing is left of what has no form."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from compress import delivery
from compress.conversion import convert
from compress.evaluation import runtime
from compress.export import counting, parity, writer
from compress.targets import registry, rules
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidNetwork, TargetParityError
from tests.compress.applying import applied

CHANGES = {
    "2 bits": {"technique": "quantization", "weight_bits": 2},
    "4 bits in float": {"technique": "quantization", "weight_bits": 4, "activations": "float"},
    "zeros": {"technique": "sparsity", "sparsity": 0.8},
}


@pytest.fixture(scope="module")
def files(trained, digits, tmp_path_factory):
    """What each candidate is for each target, and what was said of it."""
    folder = tmp_path_factory.mktemp("files")
    made = {}
    for change, config in CHANGES.items():
        compressed = applied(CompressedModel(network=trained), digits, **config)
        for target in registry.PROVEN:
            name = f"{target.name} {change}".replace(" ", "-")
            made[target.name, change] = delivery.write(
                compressed, folder, target=target, data=digits, name=name
            )
    return made


@pytest.mark.parametrize("change", CHANGES)
def test_a_candidate_answers_alike_in_the_forms_of_all_targets(files, digits, change):
    x_NCHW = parity.images(digits.validation)
    found = [files[target.name, change] for target in registry.PROVEN]
    answers = [runtime.answers(runtime.session(each.path), x_NCHW) for each in found]
    for each in answers[1:]:
        np.testing.assert_array_equal(each, answers[0])
    assert len({(each.parameters, each.macs) for each in found}) == 1


@pytest.mark.parametrize("target", [PORTABLE, PLAIN], ids=lambda target: target.name)
def test_views_of_an_open_batch_have_a_form_for_every_target(trained, digits, tmp_path, target):
    compressed = CompressedModel(network=trained)
    for config in (CHANGES["2 bits"], {"technique": "mirroring"}):
        compressed = applied(compressed, digits, **config)
    x_NCHW = parity.images(digits.validation)[:7]
    answers = []
    for form in (ONNXRUNTIME, target):
        made = delivery.write(compressed, tmp_path, target=form, data=digits, name=form.name)
        answers.append(runtime.answers(runtime.session(made.path), x_NCHW))
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("target", [PORTABLE, PLAIN], ids=lambda target: target.name)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_keeps_the_rules_of_its_target_and_says_where_it_runs(files, target, change):
    artifact = files[target.name, change]
    content = artifact.path.read_bytes()
    model = onnx.load_from_string(content)
    rules.check(model, target)
    assert artifact.size_bytes == len(content)
    assert (artifact.target, artifact.runtimes[0]) == (target.name, "onnxruntime >= 1.15")
    said = {each.key: each.value for each in model.metadata_props}
    assert said["featherweight.target"] == target.name
    assert "featherweight.source_sha256" not in said
    counts = counting.count(model)
    assert (counts.parameters, counts.macs) == (artifact.parameters, artifact.macs)


@pytest.mark.parametrize("change", CHANGES)
def test_a_portable_file_takes_hardly_more_bytes_than_the_smallest(files, change):
    smallest, portable, plain = (
        files[target.name, change].size_bytes for target in (ONNXRUNTIME, PORTABLE, PLAIN)
    )
    assert smallest < portable < 1.1 * smallest + 600
    assert portable < plain


@pytest.mark.parametrize(
    ("source", "target"), [(PORTABLE, PLAIN), (PLAIN, PORTABLE)], ids=["to plain", "to portable"]
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_of_one_target_can_be_had_in_the_form_of_another(
    files, digits, source, target, change
):
    content = files[source.name, change].path.read_bytes()
    made = convert.convert(content, target)
    rules.check(onnx.load_from_string(made), target)
    x_NCHW = parity.images(digits.validation)
    answers = [runtime.answers(runtime.session(each), x_NCHW) for each in (content, made)]
    np.testing.assert_array_equal(*answers)
    # A plain file does not say which of its floats were integers on a grid.
    most = 1.02 * files[target.name, change].size_bytes + 200
    assert len(made) < (most if target is PLAIN else len(content))


def test_what_the_search_makes_for_onnxruntime_is_what_the_writer_makes(trained, digits, tmp_path):
    compressed = CompressedModel(network=trained)
    made = [
        delivery.write(compressed, tmp_path, target=ONNXRUNTIME, data=digits, name="one"),
        writer.write(compressed, tmp_path, data=digits, name="other"),
    ]
    assert made[0].sha256 == made[1].sha256
    assert made[0].target == "onnxruntime"


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_as_it_is_made_needs_what_its_graph_says(files, change):
    artifact = files["onnxruntime", change]
    has_code = bool(onnx.load(artifact.path).functions)
    oldest = "1.17" if has_code else "1.15"
    assert artifact.runtimes == (f"onnxruntime >= {oldest}",)


def test_a_network_without_a_form_leaves_no_file(trained, digits, tmp_path, monkeypatch):
    def refuse(model, target):
        raise InvalidNetwork("opset 13 cannot say GridSample")

    monkeypatch.setattr(convert, "converted", refuse)
    with pytest.raises(TargetParityError) as raised:
        delivery.write(CompressedModel(network=trained), tmp_path, target=PORTABLE, data=digits)
    for words in ("'portable'", "onnxruntime 1.15", "GridSample", "Name another target"):
        assert words in str(raised.value)
    assert list(tmp_path.iterdir()) == []
