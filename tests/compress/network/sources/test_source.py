import pytest
from pydantic import TypeAdapter, ValidationError

from compress.network.families import layout
from compress.network.families.catalog import FAMILIES, Architecture
from compress.network.families.residual.config import Residual
from compress.network.families.vgg_bn.config import VggBn
from compress.network.sources.source import FamilySource, NetworkSource, OnnxSource
from featherweight.specs.job import JobSpec, UntrainedModel

SOURCE: TypeAdapter[NetworkSource] = TypeAdapter(NetworkSource)
CONFIG: TypeAdapter[Architecture] = TypeAdapter(Architecture)
FIRST = {"widths": [8, 16], "depths": [1, 1]}


def test_a_document_from_before_there_were_families_is_one_of_the_first_family():
    found = SOURCE.validate_python(FIRST)
    assert found == FamilySource(Residual(widths=(8, 16), depths=(1, 1)))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_source_is_written_as_the_config_was(family):
    config = family.config()
    source = FamilySource(config)
    assert SOURCE.dump_json(source) == CONFIG.dump_json(config)
    assert SOURCE.validate_json(CONFIG.dump_json(config)) == source
    assert SOURCE.validate_python(config) == SOURCE.validate_python(source) == source


def test_equal_sources_are_one_key():
    assert len({FamilySource(VggBn()), FamilySource(VggBn()), FamilySource(Residual())}) == 2


def test_an_uploaded_file_is_a_source_by_its_digest():
    source = OnnxSource(sha256="ab" * 32)
    document = SOURCE.dump_python(source, mode="json")
    assert document == {"format": "onnx", "sha256": "ab" * 32, "input_shape": None}
    assert SOURCE.validate_python(document) == SOURCE.validate_python(source) == source


def test_a_file_without_a_digest_is_no_source():
    with pytest.raises(ValidationError, match="sha256"):
        SOURCE.validate_python({"format": "onnx", "sha256": "mynet.onnx"})


def test_the_schema_of_a_family_is_that_of_the_configs():
    family = TypeAdapter(FamilySource)
    assert family.json_schema() == CONFIG.json_schema()
    assert family.json_schema(mode="serialization") == CONFIG.json_schema(mode="serialization")


def test_a_network_that_is_trained_here_is_of_a_family():
    with pytest.raises(ValidationError, match="format"):
        UntrainedModel.model_validate({"architecture": {"format": "onnx"}, "epochs": 1})


def test_a_family_that_is_none_is_refused_at_its_place():
    with pytest.raises(ValidationError, match="'residual', 'mobilenet_v2'") as refused:
        UntrainedModel.model_validate({"architecture": {"family": "onnx"}, "epochs": 1})
    assert refused.value.errors()[0]["loc"] == ("architecture",)


def test_a_wrong_setting_is_refused_at_its_place():
    with pytest.raises(ValidationError) as refused:
        UntrainedModel.model_validate({"architecture": {"widths": "eight"}, "epochs": 1})
    assert refused.value.errors()[0]["loc"] == ("architecture", "residual", "widths")


def test_a_stored_job_of_before_is_read_and_written_with_the_same_fields():
    model = {"architecture": Residual().model_dump(mode="json"), "epochs": 1}
    objectives = [{"metric": "accuracy", "direction": "maximise"}]
    given = {"model": model, "data": "digits", "techniques": {"family_member": {}}}
    spec = JobSpec.of_record({**given, "objectives": objectives, "student": FIRST})
    assert spec.student == FamilySource(Residual(widths=(8, 16), depths=(1, 1)))
    written = spec.model_dump(mode="json")
    assert written["model"]["architecture"] == model["architecture"]
    assert written["student"] == {"family": "residual", "resolution": None, **FIRST} | {
        "shortcut": "conv"
    }
    assert JobSpec.of_record(written) == spec


def test_an_outline_has_the_layers_and_the_parameters_of_the_table():
    source = FamilySource(Residual(widths=(8, 16), depths=(1, 1), shortcut="pad"))
    outline = source.outline(input_shape=(3, 32, 32), num_classes=10)
    sizes = {"in_channels": 3, "num_classes": 10}
    rows = layout.layers(source.config, **sizes)
    assert [layer.name for layer in outline.layers] == [row.name for row in rows]
    assert outline.parameters == layout.parameters(source.config, **sizes)
    assert outline.macs == layout.macs(source.config, **sizes, height=32, width=32)
    assert outline.blocks == (1, 1)
    assert outline.elastic.dimensions == {"depth", "width"}
    pads = {layer.name for layer in outline.layers if layer.kind == "pad"}
    assert len(pads) == 1
    every, trained = outline.names(only_trained=False), outline.names(only_trained=True)
    assert set(every) - set(trained) == pads


def test_a_signature_says_which_axis_is_the_batch():
    source = FamilySource(VggBn(widths=(8, 12), depths=(1, 2), pool=2, hidden=12))
    signature = source.outline(input_shape=(1, 16, 16), num_classes=5).signature
    [taken], [answered] = signature.inputs, signature.outputs
    assert (taken.name, taken.with_batch(7)) == ("input", (7, 1, 16, 16))
    assert (answered.name, answered.with_batch(7)) == ("logits", (7, 5))
