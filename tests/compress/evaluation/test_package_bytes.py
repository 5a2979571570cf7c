"""Words and settings count as part of what is delivered of a network of texts."""

from __future__ import annotations

import hashlib

import numpy as np

from compress.evaluation import measure
from compress.network.network import Artifact
from compress.network.signature import Signature
from compress.network.sources import onnx as onnx_source
from compress.tasks import loading, registry
from compress.values.measurement import METRICS
from tests import text_files


def test_a_package_has_the_words_that_a_file_still_tells_apart(tmp_path):
    path, info = text_files.dataset(tmp_path)
    data = loading.load(path, task=info.task)
    content = text_files.bag(np.eye(info.vocabulary[0], 2))
    (tmp_path / "net.onnx").write_bytes(content)
    signature: Signature = onnx_source.load(
        content, input_shape=info.input_shape, num_classes=2
    ).signature
    found = {}
    for kept in (None, 4):
        artifact = Artifact(
            path=tmp_path / "net.onnx",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            max_abs_error=0.0,
            agreement=1.0,
            parity_images=1,
            parameters=1,
            macs=1,
            signature=signature,
            kept_words=kept,
        )
        task = registry.TASKS["text_classification"]
        found[kept] = measure.run(artifact, data, task=task, splits=("validation",))
    assert found[None].package_bytes == len(content) + info.text.words_bytes
    fewer = sum(len(word.encode()) + 1 for word in data.words.tables["words"][4:])
    assert found[None].package_bytes - found[4].package_bytes == fewer
    assert METRICS["package_bytes"].read(found[4]) == found[4].package_bytes
    plain = found[4].model_copy(update={"package_bytes": None})
    assert METRICS["package_bytes"].read(plain) == plain.size_bytes
