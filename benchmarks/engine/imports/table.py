"""``python -m benchmarks imports``: the list of ONNX files, one row each.

A file is imported if the graph that is read runs in torch and answers as ONNX Runtime does, within
1e-4 of the spread of an answer, or within twice the error of ONNX Runtime's own optimised session
where that is more: basic-pitch takes logarithms of what is nearly zero. That is the importer alone:
the column ``service`` says whether a job may name the file today, and
``techniques`` how many of seven end in a file that has passed its gates.
"""

from __future__ import annotations

from collections import Counter

import torch

from benchmarks.engine.imports import measuring, techniques
from benchmarks.engine.imports.files import Absent, ListedFile, listed
from benchmarks.record import Cell, Table, keeps
from compress.values.errors import CompressError, InvalidNetwork

_MOST_WORDS = 160
_CLOSE = 1e-4


@keeps("engine/imports", "Which ONNX files come in, how exactly, how fast, and what fits them?")
def main(table: Table) -> None:
    """Measure every file of the list; the last row counts them."""
    torch.set_num_threads(1)
    outcomes: Counter[str] = Counter()
    for file in listed():
        row = _row(file)
        outcomes[str(row["outcome"]).partition(":")[0]] += 1
        print(" | ".join(str(cell) for cell in row.values()), flush=True)
        table.add(row)
    said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    table.add({"file": "all", "outcome": said})
    print(said)


def _row(file: ListedFile) -> dict[str, Cell]:
    try:
        data = file.data()
    except Absent as absent:
        return {"file": file.name, "outcome": f"skipped: {absent}"}
    row: dict[str, Cell] = {"file": file.name, "outcome": "imported", "bytes": len(data)}
    try:
        found = measuring.measure(file, data)
    except InvalidNetwork as error:
        return row | {"outcome": f"refused: {_short(error)}"}
    if found.error > max(_CLOSE, 2 * found.runtime_error):
        return row | {"outcome": f"wrong: by {found.error:.1e} of the spread"}
    row |= {
        "parameters": found.parameters,
        "read (s)": round(found.read_seconds, 2),
        "coupled, counted (s)": round(found.coupling_seconds, 2),
        "error": float(f"{found.error:.1e}"),
        "ONNX Runtime's own": float(f"{found.runtime_error:.1e}"),
        "groups": found.groups,
        "channels": found.channels,
        "operators": len(found.operators),
    }
    return row | _fitting(file, data)


def _fitting(file: ListedFile, data: bytes) -> dict[str, Cell]:
    try:
        network = techniques.loaded(file, data)
    except InvalidNetwork as error:
        return {"service": f"no: {_short(error)}", "techniques": None}
    found = techniques.gated(network)
    missing = [f"{name} ({_short(words)})" for name, words in found.items() if words]
    said = f"{len(found) - len(missing)} of {len(found)}"
    return {"service": "yes", "techniques": "; ".join([said, *missing])}


def _short(error: CompressError | str) -> str:
    words = str(error).replace("|", "/").replace("\n", " ")
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}..."
