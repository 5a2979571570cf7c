"""What cannot be taken over is refused with operator, node and way out, before it costs much."""

import json
import random
import re
import subprocess
import sys

import pytest

from compress.network.graph.read import read
from compress.network.graph.reading.limits import FileLimits
from compress.values.errors import InvalidNetwork
from tests.compress.network.graph.bombs import BOMBS
from tests.compress.network.graph.control_flow import CONTROL_FLOW
from tests.compress.network.graph.hostile import FILES
from tests.compress.onnx_networks import exported

MEASURED = """
import json, resource, sys, time
from compress.network.graph.read import read
from compress.values.errors import InvalidNetwork
found = []
for path in sys.argv[1:]:
    data = open(path, "rb").read()
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read(data)
        words = "read"
    except InvalidNetwork as error:
        words = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found.append({"words": words, "kib": peak - before, "s": time.process_time() - started})
print(json.dumps(found))
"""
MOST_KIB = 900 * 1024
"""The allowance of computed constants, 512 MiB, and what stands around it."""

REFUSED = {**FILES, **CONTROL_FLOW}


def test_the_corpus_is_large():
    assert len(REFUSED) + len(BOMBS) >= 60


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_words(name):
    make, words = REFUSED[name]
    with pytest.raises(InvalidNetwork, match=words) as caught:
        read(make())
    assert len(str(caught.value)) < 900


def test_bombs_take_little_memory_and_time(tmp_path):
    paths = []
    for name, (make, _) in BOMBS.items():
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(make())
    command = [sys.executable, "-c", MEASURED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    for (name, (_, words)), found in zip(BOMBS.items(), json.loads(done.stdout), strict=True):
        assert re.search(words, found["words"]), (name, found)
        assert found["kib"] < MOST_KIB, (name, found)
        assert found["s"] < 10, (name, found)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"file_bytes": 1000}, r"the file has \d+ bytes, at most 1000 are read"),
        ({"fields": 100}, "more than 100 fields"),
        ({"nodes": 5}, r"the network has \d+ operators, at most 5 are read"),
        ({"tensors": 3}, r"the network has \d+ tensors, at most 3 are read"),
        ({"name_bytes": 4}, r"has \d+ bytes, at most 4 are read"),
        ({"rank": 1}, "at most 1 axes"),
    ],
)
def test_every_limit_holds(limits, words):
    with pytest.raises(InvalidNetwork, match=words):
        read(exported("cnn"), FileLimits(**limits))


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 20))]
)
def test_a_damaged_file_is_read_or_refused(seed):
    draw, taken, refused = random.Random(seed), 0, 0
    for name in ("cnn", "gru", "vit"):
        data = bytearray(exported(name))
        for _ in range(20):
            damaged = bytearray(data)
            for _ in range(draw.choice((1, 3))):
                damaged[draw.randrange(len(data))] = draw.randrange(256)
            try:
                taken += len(read(bytes(damaged)).nodes) > 0
            except InvalidNetwork:
                refused += 1
    assert taken + refused == 60
