"""Every form of small files in every runtime: what loads, what answers, what it costs.

    python -m tests.runtimes.matrix [--more]

prints the matrix, keeps it in ``var/runtimes/matrix.json`` and ends with status 1 if a file is not
as its target says. ``--more`` takes more versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto
from torch import Tensor

from tests.runtimes import decoders, files
from tests.runtimes.environments import FOLDER, LOCKED, MORE, PROVEN, WEB, Environment
from tests.runtimes.files import AS_MADE, PLAIN, File

RESULT = FOLDER / "matrix.json"
MOST_FLIPS = 0.04
"""Share of images for which another maker's runtime may choose the other of two close classes."""
_ASIDE = ("openvino", "opencv", WEB)
"""Runtimes that compute activations in ways of their own: of other makers, and in WebAssembly."""
_IMAGES = "images.npy"
_SECONDS = 600
# The newest opset and format that versions of ONNX Runtime load; 1.23 is the first with INT4.
_LOADS = (("1.15", 19, 9), ("1.17", 20, 9), ("1.18", 21, 10))
_FIRST_WITH_INT4 = "1.23"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one runtime said of one file: of its answers and its cost, or of its constants."""

    environment: Environment
    name: str
    file: File | None
    form: str
    oldest: str
    told: dict[str, Any]

    @property
    def error(self) -> str | None:
        """Why there is no answer."""
        return self.told.get("error")

    @property
    def is_for_it(self) -> bool:
        """Whether the file is meant for this runtime in this version."""
        if self.form != AS_MADE:
            return True
        if self.environment.runtime == "onnxruntime":
            return _number(self.told["version"]) >= _number(self.oldest)
        return self.environment.runtime == "onnx.reference"

    def answers(self) -> np.ndarray:
        """The logits of all images, ``(N, K)``."""
        return np.load(self.told["answers"])

    def row(self) -> dict[str, Any]:
        """What is kept of it."""
        said = {k: round(v, 3) if isinstance(v, float) else v for k, v in self.told.items()}
        said.pop("answers", None)
        if "ms" in said:
            said["ratio"] = round(self.told["ms"] / self.told["float_ms"], 3)
        return {"runtime": self.environment.name, "form": self.form, **said}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One thing to ask of every runtime."""

    asks: dict[str, Any]
    file: File | None
    form: str
    oldest: str


def run(
    environments: Sequence[Environment],
    made: Sequence[File],
    folder: Path,
    *,
    x_NCHW: Tensor | None = None,
) -> list[Cell]:
    """Ask every runtime about every file, its constants, and every packing.

    Files answer the images of ``files.images``, or ``x_NCHW``: then packings are left out.
    """
    pixels = files.images().validation.x_NCHW if x_NCHW is None else x_NCHW
    np.save(folder / _IMAGES, pixels.numpy().astype(np.float32))
    packings = _of_packings(folder) if x_NCHW is None else ()
    asked = [*_of_files(made, folder), *packings]
    return [cell for one in environments for cell in _told(one, asked, folder)]


def _of_files(made: Sequence[File], folder: Path) -> Iterator[Question]:
    floats = {each.network: each for each in made if (each.changes, each.form) == ("float", PLAIN)}
    for file in made:
        oldest = oldest_onnxruntime(onnx.load(file.path))
        asks = {"name": file.name, "path": file.path.name, "images": _IMAGES}
        asks["beside"] = floats[file.network].path.name
        yield Question(asks=asks, file=file, form=file.form, oldest=oldest)
        found = files.constants(file.path)
        if found is not None:
            name = f"{file.name}, constants"
            asks = _constants(name, *found, folder)
            yield Question(asks=asks, file=file, form=file.form, oldest=oldest)


def _of_packings(folder: Path) -> Iterator[Question]:
    for form, spelling in decoders.SPELLINGS.items():
        for packing, model, expected in decoders.files(spelling):
            asks = _constants(f"{packing}, {form}", model, expected, folder)
            oldest = oldest_onnxruntime(model)
            yield Question(asks=asks, file=None, form=form, oldest=oldest)


def _constants(
    name: str, model: ModelProto, expected: Sequence[np.ndarray], folder: Path
) -> dict[str, Any]:
    model_name, values_name = f"{name}.onnx", f"{name}.npz"
    onnx.save(model, folder / model_name)
    arrays = {str(number): values for number, values in enumerate(expected)}
    np.savez(folder / values_name, allow_pickle=False, **arrays)
    return {"name": name, "path": model_name, "expected": values_name}


def _told(environment: Environment, asked: Sequence[Question], folder: Path) -> Iterator[Cell]:
    taken = [each for each in asked if _takes(environment, each)]
    path = folder / f"{environment.name}.json"
    path.write_text(json.dumps([each.asks for each in taken]))
    command = [*environment.command(), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    if len(lines) != len(taken):
        raise RuntimeError(f"{environment.name} ended early: {ran.stderr[-2000:]}")
    for each, line in zip(taken, lines, strict=True):
        yield Cell(
            environment=environment,
            name=each.asks["name"],
            file=each.file,
            form=each.form,
            oldest=each.oldest,
            told=line,
        )


def _takes(environment: Environment, question: Question) -> bool:
    """The definition of ONNX is slow, and files without inputs are for nobody but tests."""
    is_of_answers = "images" in question.asks
    excluded = {
        "onnx.reference": is_of_answers,
        "opencv": not is_of_answers,
        WEB: not is_of_answers,
    }
    return not excluded.get(environment.runtime, False)


def oldest_onnxruntime(model: ModelProto) -> str:
    """Return the oldest version that has to load a file as it was made."""
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    if kinds & {TensorProto.INT4, TensorProto.UINT4}:
        return _FIRST_WITH_INT4
    (opset,) = (each.version for each in model.opset_import if not each.domain)
    return next(v for v, most, ir in _LOADS if opset <= most and model.ir_version <= ir)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def problems(cells: Sequence[Cell]) -> list[str]:
    """Say, in words, where a file is not what its target says."""
    return [
        f"{cell.environment.name} ({cell.told.get('version')}): {cell.name}: {said}"
        for cell in cells
        for said in (_unloaded(cell) or _undecoded(cell) or _otherwise(cell, cells))
    ]


def _unloaded(cell: Cell) -> list[str]:
    return [cell.error] if cell.error is not None and cell.is_for_it else []


def _undecoded(cell: Cell) -> list[str]:
    """Values that are not equal to the bit: in files for this runtime only."""
    if "wrong" not in cell.told or not cell.is_for_it:
        return []
    wrong, found, wanted = (cell.told[key] for key in ("wrong", "found", "outputs"))
    return [f"{len(wrong)} of {wanted} constants are wrong"] if wrong or found != wanted else []


def _otherwise(cell: Cell, cells: Sequence[Cell]) -> list[str]:
    """Images whose class is another one than the measured file's, in the runtime of the lock."""
    if "answers" not in cell.told or not cell.is_for_it:
        return []
    expected = _answers(cells, LOCKED, cell.file, AS_MADE)
    found = cell.answers()
    flips = found.argmax(1) != expected.argmax(1)
    if cell.environment.runtime not in _ASIDE:
        return [f"{flips.sum()} of {len(flips)} classes are others"] if flips.any() else []
    plain = _answers(cells, cell.environment, cell.file, PLAIN)
    doubt = np.abs(plain - expected).max()
    best = np.sort(expected, axis=1)
    clear = flips & (best[:, -1] - best[:, -2] > doubt)
    said = [f"{clear.sum()} classes are others without being close"] * bool(clear.any())
    many = flips.mean() > MOST_FLIPS
    return said + [f"{flips.sum()} of {len(flips)} classes are others"] * bool(many)


def _answers(
    cells: Sequence[Cell], environment: Environment, file: File | None, form: str
) -> np.ndarray:
    """What a runtime says of the same network in some form."""
    wanted = file and replace(file, form=form).name
    for cell in cells:
        is_it = cell.environment == environment and cell.file is not None
        if is_it and cell.file.name == wanted and "answers" in cell.told:
            return cell.answers()
    raise LookupError(f"{environment.name} gave no answers of {wanted}")


def differences(cells: Sequence[Cell]) -> Iterator[tuple[Cell, float, int]]:
    """Yield each file with answers, the largest difference, and how many classes are others."""
    for cell in cells:
        if "answers" in cell.told:
            expected = _answers(cells, LOCKED, cell.file, AS_MADE)
            found = cell.answers()
            flips = int((found.argmax(1) != expected.argmax(1)).sum())
            yield cell, float(np.abs(found - expected).max()), flips


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """What is kept of every cell, and how far its answers are from the measured file's."""
    told = {id(cell): (most, flips) for cell, most, flips in differences(cells)}
    found = [cell.row() for cell in cells]
    for cell, row in zip(cells, found, strict=True):
        if id(cell) in told:
            row["largest_difference"], row["other_classes"] = told[id(cell)]
    return found


def kept(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Write the matrix to ``RESULT``, and return its rows."""
    found = rows(cells)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return found


def shown(found: Sequence[dict[str, Any]]) -> str:
    """A line per file and runtime that has answers, and one per refusal."""
    costs = f"{'ratio':>6} {'load ms':>8} {'peak MB':>8} {'differs':>8} flips"
    lines = [f"{'file':38} {'runtime':22} {costs}"]
    for row in found:
        where = f"{row['name']:38} {row['runtime']:22}"
        if "error" in row:
            lines.append(f"{where} refuses: {row['error'][:60]}")
        elif "largest_difference" in row:
            megabytes = f"{row['peak_bytes'] / 1e6:8.1f}" if "peak_bytes" in row else f"{'':8}"
            times = f"{row['ratio']:6.2f} {row['load_ms']:8.1f}" if "ratio" in row else f"{'':15}"
            said = f"{times} {megabytes}"
            lines.append(f"{where} {said} {row['largest_difference']:8.2g} {row['other_classes']}")
    return "\n".join(lines)


def main() -> None:
    """Print the matrix of the small files."""
    environments = [*PROVEN, *(MORE if "--more" in sys.argv else ())]
    with tempfile.TemporaryDirectory() as folder:
        cells = run(environments, files.written(Path(folder)), Path(folder))
        print(shown(kept(cells)))  # noqa: T201
        wrong = problems(cells)
    print("\n".join(wrong) or "every file is as its target says")  # noqa: T201
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
