"""Programs for a file run where its user would run them. ``make proofs`` fetches what they need."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest

from compress.values.file_formats import onnx_header
from featherweight.cards import snippets, subject
from tests import needed
from tests.featherweight.cards import hostile

pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[3]
MODULES = ROOT / ".node" / "node_modules"
NATIVE = ROOT / ".node" / "native"
EXAMPLE = ROOT / "examples" / "browser"
FILES = {
    "bytes last": {"dtype": "uint8", "layout": "NHWC"},
    "floats first": {"dtype": "float32", "layout": "NCHW", "softmax": False},
    "long": {"dtype": "int64", "layout": "NCHW"},
    "short": {"dtype": "int8", "layout": "NHWC"},
    "double": {"dtype": "float64", "layout": "NCHW"},
}
BROWSER = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=60000", "--dump-dom",
)  # fmt: skip


@pytest.fixture(params=FILES)
def model(request, tmp_path):
    """A file, its values and its programs in the folder of the test."""
    return prepared(tmp_path, hostile.network(**FILES[request.param]))


def prepared(folder, model):
    found = subject.of(onnx_header.read(BytesIO(model.SerializeToString())))
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    hostile.values().tofile(folder / "v.f32")
    for language in snippets.LANGUAGES.values():
        text = snippets.write(found, language.name)
        (folder / language.filename).write_text(text, encoding="ascii")
    return model


def run(folder, *command, **environment):
    """Lines that the command prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def web():
    """The modules of onnxruntime-web."""
    if not (MODULES / "onnxruntime-web").is_dir():
        pytest.skip("npm has brought no onnxruntime-web into .node: see make proofs")
    return MODULES


def tool(name):
    found = shutil.which(name)
    if found is None or not (NATIVE / "classes.jar").exists():
        pytest.skip(f"this machine has no {name}, or no headers and library of ONNX Runtime")
    return found


def test_the_program_in_javascript_answers_in_node(model, tmp_path):
    (tmp_path / "node_modules").symlink_to(web())
    found = run(tmp_path, needed.node(), "run.mjs", "m.onnx", "v.f32")
    assert found == hostile.lines(model)


def test_the_program_in_cpp_compiles_and_answers(model, tmp_path):
    library = NATIVE / "Linux" / "x64"
    compiler = [tool("g++"), "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", NATIVE / "headers"]
    run(tmp_path, *compiler, "run.cpp", "-L", library, "-lonnxruntime", "-o", "run")
    found = run(tmp_path, "./run", "m.onnx", "v.f32", LD_LIBRARY_PATH=str(library))
    assert found == hostile.lines(model)


def test_the_program_in_java_compiles(model, tmp_path):
    # Its jar is Android's, whose native part runs on phones only.
    jar = str(NATIVE / "classes.jar")
    run(tmp_path, tool("javac"), "-Xlint:all", "-Werror", "-cp", jar, "-d", ".", "Run.java")
    assert (tmp_path / "Run.class").exists()
    listing = "".join(run(tmp_path, tool("javap"), "-cp", f".:{jar}", "-constants", "-p", "Run"))
    assert "IS_CLASSIFIER = true" in listing


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, format, *_):
        """Say nothing."""


@pytest.fixture
def address(tmp_path):
    """Where the example, with all that it needs, is served."""
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    (tmp_path / "node_modules").symlink_to(web())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()
        thread.join()


def shown(address, folder):
    """What the page says, and the lines of its list."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("this machine has no Chromium")
    page = "\n".join(run(folder, browser, *BROWSER, f"--user-data-dir={folder / 'own'}", address))
    said = re.search(r'id="said"[^>]*>([^<]*)<', page)
    assert said is not None, page
    lines = re.findall(r"<li>(.*?)</li>", page, re.DOTALL)
    return html.unescape(said[1]), [html.unescape(line) for line in lines]


def test_the_page_of_the_example_answers_in_a_browser(model, tmp_path, address):
    said, lines = shown(f"{address}?model=m.onnx&values=v.f32", tmp_path)
    assert "answered in" in said
    assert lines == hostile.lines(model)


def test_the_page_reads_pictures_and_says_what_fails(tmp_path, address):
    from PIL import Image

    channels, height, width = hostile.IMAGE
    pixels = hostile.values().astype("uint8").reshape(height, width, channels)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    model = prepared(tmp_path, hostile.network())
    said, lines = shown(f"{address}?model=m.onnx&picture=p.png", tmp_path)
    assert (lines, said[:11]) == (hostile.lines(model), "answered in")
    said, lines = shown(f"{address}?model=none.onnx", tmp_path)
    assert (said, lines) == ("failed: none.onnx: HTTP 404", [])
