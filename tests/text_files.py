"""A small dataset of texts and a network on it, made by code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from compress.tasks.conversion.text import texts
from compress.tasks.inspection import DatasetInfo, inspect_dataset
from compress.tasks.reading import DatasetReading

GOOD, BAD = "good fine great", "bad poor awful"


def dataset(folder: Path, task: str = "text_classification", **reading) -> tuple[Path, DatasetInfo]:
    """Texts of which words tell the class, as a dataset, and its summary."""
    rows = [
        {"text": f"The film{n} is {(GOOD, BAD)[n % 2].split()[n % 3]}.", "label": "ab"[n % 2]}
        for n in range(40)
    ]
    if task == "sequence_labelling":
        rows = [{"tokens": row["text"].split(), "tags": ["O", "B-X", "O", "O"]} for row in rows]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = DatasetReading.model_validate({"task": task, **reading})
    made = io.BytesIO()
    texts.convert(folder / "texts.jsonl", made, asked)
    (folder / "texts.npz").write_bytes(made.getvalue())
    return folder / "texts.npz", inspect_dataset(folder / "texts.npz", task=asked.task)


def bag(scores_VK: np.ndarray, *, axes: int = 2, sums: bool = True) -> bytes:
    """A network of ids (int64) that looks scores up, and sums them over the words of a text."""
    table = numpy_helper.from_array(scores_VK.astype(np.float32), "table")
    shape = ["batch", *range(axes - 2), "length"] if axes == 2 else ["batch", 4, "length"]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape)
    middle = "found" if sums else "logits"
    nodes = [helper.make_node("Gather", ["table", "ids"], [middle])]
    if axes == 3:
        first = numpy_helper.from_array(np.array(0), "first")
        nodes.insert(0, helper.make_node("Gather", ["input_ids", "first"], ["ids"], axis=1))
    else:
        first = numpy_helper.from_array(np.array([1]), "first")
        nodes.insert(0, helper.make_node("Identity", ["input_ids"], ["ids"]))
    if sums:
        nodes.append(helper.make_node("ReduceSum", ["found", "first"], ["logits"], keepdims=0))
    width = ["batch", scores_VK.shape[1]] if sums else ["batch", "length", scores_VK.shape[1]]
    answer = helper.make_tensor_value_info("logits", TensorProto.FLOAT, width)
    graph = helper.make_graph(nodes, "bag", [ids], [answer], [table, first])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
