"""Files of every form in old and new runtimes of several makers, each in its own environment.

The matrix is printed and kept in ``var/runtimes/matrix.json``: what loads, how long it takes, how
fast it runs beside the float network, what it holds at its peak. Costs are reported, not judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from compress.targets import registry
from tests.runtimes import files, matrix
from tests.runtimes.environments import LOCKED, PROVEN, REFERENCE, Environment
from tests.runtimes.files import AS_MADE, PLAIN, File

OLD, OTHER = PROVEN[0], Environment(runtime="openvino", version="0")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    found = matrix.run(PROVEN, files.written(folder), folder)
    print(matrix.shown(matrix.kept(found)))  # noqa: T201
    return found


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_every_file_loads_decodes_and_answers_as_its_target_says(cells):
    assert matrix.problems(cells) == []


@pytest.mark.proof
def test_every_runtime_was_asked_for_every_form_and_packing(cells):
    """So that no list that is empty by mistake proves anything."""
    answered = {
        (c.environment.runtime, c.form) for c in cells if "answers" in c.told and c.is_for_it
    }
    forms = {target.name for target in registry.PROVEN}
    assert answered >= {("onnxruntime", form) for form in forms}
    assert answered >= {("openvino", form) for form in forms - {AS_MADE}}
    counts = Counter(c.environment for c in cells if c.file is None and c.form == "portable")
    assert set(counts) == set(PROVEN)
    assert set(counts.values()) == {8}
    assert all(np.load(c.told["answers"]).shape == (500, 10) for c in cells if "answers" in c.told)


@pytest.fixture
def cell(tmp_path):
    """What a runtime said of a file of four images, in any form."""

    def make(environment, form, logits=None, *, oldest="1.15", **told):
        if logits is not None:
            told["answers"] = str(tmp_path / f"{environment.name}-{form}.npy")
            np.save(told["answers"], np.asarray(logits, np.float32))
        file = File(network="n", changes="c", form=form, path=tmp_path)
        return matrix.Cell(
            environment=environment,
            name=form,
            file=file,
            form=form,
            oldest=oldest,
            told={"version": environment.version, **told},
        )

    return make


TRUE = [[2.0, 0.0], [0.0, 2.0], [1.0, 1.1], [3.0, 0.0]] * 25


def test_a_constant_that_is_wrong_and_an_answer_of_another_class_are_found(cell):
    measured = cell(LOCKED, AS_MADE, TRUE)
    wrong = cell(OLD, "portable", outputs=3, found=3, wrong=[1])
    missing = cell(OLD, "portable", outputs=3, found=2, wrong=[])
    flipped = cell(OLD, PLAIN, [[0.0, 2.0], *TRUE[1:]])
    assert matrix.problems([measured, wrong]) == [
        "onnxruntime 1.15.1 (1.15.1): portable: 1 of 3 constants are wrong"
    ]
    assert len(matrix.problems([measured, missing])) == 1
    assert matrix.problems([measured, flipped]) == [
        "onnxruntime 1.15.1 (1.15.1): plain: 1 of 100 classes are others"
    ]


def test_a_refusal_is_expected_of_files_for_newer_versions_only(cell):
    refused = cell(OLD, AS_MADE, oldest="1.23", error="INT4")
    assert matrix.problems([refused]) == []
    assert len(matrix.problems([replace(refused, oldest="1.15")])) == 1
    assert len(matrix.problems([replace(refused, form="portable")])) == 1


def test_another_makers_runtime_may_choose_between_close_classes_only(cell):
    close = [*TRUE[:2], [1.1, 1.0], *TRUE[3:]]
    plain = cell(OTHER, PLAIN, np.asarray(TRUE) + 0.2)
    both = [cell(LOCKED, AS_MADE, TRUE), plain]
    assert matrix.problems([*both, cell(OTHER, "portable", close)]) == []
    clear = [[0.0, 2.0], *TRUE[1:]]
    (said,) = matrix.problems([*both, cell(OTHER, "portable", clear)])
    assert said.endswith("1 classes are others without being close")
    many = [[1.1, 1.0] if list(row) == [1.0, 1.1] else row for row in TRUE]
    (said,) = matrix.problems([*both, cell(OTHER, "portable", many)])
    assert said.endswith("25 of 100 classes are others")


def test_the_definition_of_onnx_is_asked_for_constants_alone(cell):
    assert cell(REFERENCE, AS_MADE, outputs=1, found=1, wrong=[0]).is_for_it
    assert not cell(OTHER, AS_MADE, outputs=1, found=1, wrong=[0]).is_for_it
