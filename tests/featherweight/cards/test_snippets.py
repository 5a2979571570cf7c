"""Programs for a file: the right ports, sizes and classes, and nothing that its names say runs."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from compress.values.file_formats import onnx_header
from featherweight.cards import escaping, snippets, subject
from featherweight.errors import NoSnippet
from tests import onnx_files
from tests.featherweight.cards import hostile


def described(model, **given):
    return subject.of(onnx_header.read(BytesIO(model.SerializeToString())), **given)


def in_python(folder, model, *arguments, **given):
    """Lines that the program in Python prints."""
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    (folder / "run.py").write_text(snippets.write(described(model, **given), "python"))
    hostile.values().tofile(folder / "v.f32")
    command = [sys.executable, "run.py", "m.onnx", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("dtype", "layout", "softmax"), [("uint8", "NHWC", True), ("float32", "NCHW", False)]
)
def test_the_program_in_python_prints_the_classes(tmp_path, dtype, layout, softmax):
    model = hostile.network(dtype, layout=layout, softmax=softmax)
    assert in_python(tmp_path, model, "v.f32") == hostile.lines(model)


def test_a_picture_is_scaled_to_the_range_of_the_data(tmp_path):
    channels, height, width = hostile.IMAGE
    pixels = np.arange(height * width * channels, dtype=np.uint8).reshape(height, width, channels)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    model, module = hostile.network(), {}
    exec(compile(snippets.write(described(model), "python"), "run", "exec"), module)
    np.testing.assert_array_equal(module["from_picture"](tmp_path / "p.png")[0], pixels)
    text = snippets.write(described(model, value_range=(-1.0, 4.0)), "python")
    exec(compile(text, "run", "exec"), module)
    scaled = module["from_picture"](tmp_path / "p.png")[0]
    np.testing.assert_allclose(scaled, pixels / 51.0 - 1, atol=1e-5)


_QUOTED = r'"(?:\\.|[^"\\\n])*"'
LITERALS = dict.fromkeys(snippets.LANGUAGES, _QUOTED)
LITERALS["python"] = f"'(?:\\\\.|[^'\\\\\\n])*'|{_QUOTED}"


@pytest.mark.parametrize("language", snippets.LANGUAGES)
def test_no_name_ends_a_literal_of_any_language(language):
    text = snippets.write(described(hostile.network()), language)
    plain = snippets.write(described(hostile.network(names=["a", "b", "c", "d"])), language)
    # What is no literal is the same program, whatever the classes are called.
    assert re.sub(LITERALS[language], "x", text) == re.sub(LITERALS[language], "x", plain)
    assert text.isascii()
    assert "\x00" not in text


@pytest.mark.parametrize("name", [*hostile.NAMES, *hostile.SHOWN, "\ud800", "\\", '\\"', "'\"'"])
def test_literals_mean_their_text(name):
    whole = name.encode("utf-8", "replace").decode()
    assert ast.literal_eval(escaping.python_literal(name)) == name
    assert json.loads(escaping.javascript_literal(name)) == whole
    octal = re.compile(rb"\\([0-7]{3})")
    cpp = escaping.cpp_literal(name)[1:-1].encode()
    assert octal.sub(lambda found: bytes([int(found[1], 8)]), cpp).decode() == whole
    java = octal.sub(
        lambda found: b"\\u00%02x" % int(found[1], 8), escaping.java_literal(name)[1:-1].encode()
    )
    assert json.loads(b'"' + java + b'"') == whole


def test_a_layout_is_guessed_by_the_shorter_axis_or_asked_for():
    def of(image, **given):
        model = onnx_files.network(image=image, nhwc=False)
        return subject.of(onnx_header.read(io.BytesIO(model)), **given)

    assert of((3, 32, 32)).layout == "NCHW"
    assert of((1, 8, 8)).image == (1, 8, 8)
    with pytest.raises(NoSnippet, match="say NCHW or NHWC"):
        of((8, 8, 8))
    assert of((8, 8, 8), layout="NHWC").layout == "NHWC"


def test_what_no_program_can_be_written_for_is_refused_with_the_way_out():
    with pytest.raises(NoSnippet, match="take python"):
        snippets.write(described(hostile.network("float16")), "java")
    with pytest.raises(NoSnippet, match="expected one of python, javascript, cpp, java"):
        snippets.write(described(hostile.network()), "perl")
    model = hostile.network()
    model.graph.input.append(model.graph.input[0])
    with pytest.raises(NoSnippet, match="one input, this has 2"):
        described(model)
    model = hostile.network()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    with pytest.raises(NoSnippet, match="N, height, 7, 3"):
        described(model)


@pytest.mark.parametrize(
    "names", [["a"], ["a" * 101, "b", "c", "d"], [1, 2, 3, 4], "abcd", {"a": 1}, [["a"]] * 4]
)
def test_names_that_do_not_fit_are_left_out(names):
    assert described(hostile.network(names=names)).classes == ()


def test_an_answer_that_is_no_list_of_scores_is_not_ranked():
    model = hostile.network()
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 1
    found = described(model)
    assert found.num_classes is None
    assert "IS_CLASSIFIER = False" in snippets.write(found, "python")
