"""Answer, in one runtime, what a file of questions asks of files beside it. Of NumPy alone.

    python inside.py RUNTIME version
    python inside.py RUNTIME QUESTIONS.json

This runs in environments that have one runtime and NumPy, and nothing of ours. Every file has a
process of its own, a fork without threads: one that a runtime dies of is a finding, and memory is
counted from where the file is loaded. It prints one line of JSON per question.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

_BATCH = 100
_LOADS = 3
_TURNS, _CALLS = 10, 5
_QUICK = 0.1
_STATUS = Path("/proc/self/status")


class OnnxRuntime:
    """One thread on the CPU, as ``compress.evaluation.runtime`` opens files."""

    def __init__(self):
        import onnxruntime

        self.module, self.version = onnxruntime, onnxruntime.__version__

    def open(self, path):
        options = self.module.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = self.module.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        return lambda *given: session.run(None, dict(zip(names, given)))  # noqa: B905


class OpenVino:
    """One thread on the CPU, without rounding floats to 16 bits."""

    def __init__(self):
        openvino = importlib.import_module("openvino")
        self.version = openvino.__version__.split("-")[0]
        self.core = None
        self.make = openvino.Core if hasattr(openvino, "Core") else openvino.runtime.Core

    def open(self, path):
        self.core = self.core or self.make()
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = self.core.compile_model(self.core.read_model(str(path)), "CPU", settings)
        request = compiled.create_infer_request()
        count = len(compiled.outputs)

        def run(*given):
            request.infer(list(given))
            return [request.get_output_tensor(i).data for i in range(count)]

        return run


class OpenCv:
    """Whatever it chooses on the CPU, with one thread."""

    def __init__(self):
        cv2 = importlib.import_module("cv2")
        cv2.setNumThreads(1)
        self.module, self.version = cv2, cv2.__version__

    def open(self, path):
        network = self.module.dnn.readNetFromONNX(str(path))
        outputs = network.getUnconnectedOutLayersNames()

        def run(*given):
            for each in given:
                network.setInput(each)
            return list(network.forward(outputs))

        return run


class Reference:
    """The definition of ONNX, operator by operator."""

    def __init__(self):
        import onnx
        from onnx.reference import ReferenceEvaluator

        self.module, self.version = ReferenceEvaluator, onnx.__version__

    def open(self, path):
        evaluator = self.module(str(path))
        return lambda *given: evaluator.run(None, dict(zip(evaluator.input_names, given)))  # noqa: B905


RUNTIMES = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
    "opencv": OpenCv,
    "onnx.reference": Reference,
}


def constants(runtime, folder, question):
    """Count the outputs of a file without inputs that are not equal to the bit."""
    with np.load(folder / question["expected"]) as expected:
        wanted = [expected[name] for name in sorted(expected, key=int)]
    found = runtime.open(folder / question["path"])()
    wrong = [i for i, pair in enumerate(zip(found, wanted)) if not _same(*pair)]  # noqa: B905
    return {"outputs": len(wanted), "found": len(found), "wrong": wrong}


def _same(found, wanted):
    kind = (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    return kind and np.ascontiguousarray(found).tobytes() == wanted.tobytes()


def answers(runtime, folder, question):
    """Run a file on all images, and keep what it says, and what it costs."""
    images = np.load(folder / question["images"])
    path = folder / question["path"]
    before = _bytes("VmRSS")
    run = runtime.open(path)
    run(images[:1])
    told = {} if before is None else {"peak_bytes": _bytes("VmHWM") - before}
    parts = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
    np.save(question["into"], np.concatenate([np.array(run(part)[0]) for part in parts]))
    if "beside" in question:
        told["load_ms"] = min(_seconds(lambda: runtime.open(path)) for _ in range(_LOADS)) * 1e3
        told["ms"], told["float_ms"] = _in_turns(
            run, runtime.open(folder / question["beside"]), images[:1]
        )
    return told


def _in_turns(one, other, image):
    """Return milliseconds of CPU time of one call of each: the 10 % quantile."""
    taken = ([], [])
    for _ in range(_TURNS):
        for run, own in zip((one, other), taken):  # noqa: B905
            run(image)
            own.extend(_seconds(lambda run=run: run(image)) for _ in range(_CALLS))
    return [float(np.quantile(own, _QUICK)) * 1e3 for own in taken]


def _seconds(call):
    began = time.process_time_ns()
    call()
    return (time.process_time_ns() - began) / 1e9


def _bytes(name):
    if not _STATUS.exists():
        return None
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields[name].split()[0]) * 1024


def apart(answer):
    """Return what the function returns in a process of its own, or how that process ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.write(writing, json.dumps(_outcome(answer)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if said:
        return json.loads(said)
    ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status
    return {"error": f"the process ended: {ended}"}


def _outcome(answer):
    try:
        return answer()
    except Exception as error:  # noqa: BLE001 - every runtime has errors of its own
        words = " ".join(str(error).split())
        return {"error": f"{type(error).__name__}: {words[:300]}"}


def main():
    """Answer the questions in their order."""
    name, *rest = sys.argv[1:]
    runtime = RUNTIMES[name]()
    if rest == ["version"]:
        print(name, runtime.version, "numpy", np.__version__)  # noqa: T201
        return
    folder = Path(rest[0]).parent
    for question in json.loads(Path(rest[0]).read_text()):
        ask = answers if "images" in question else constants
        question["into"] = str(folder / f"{question['name']}.{name}-{runtime.version}.npy")
        told = apart(lambda ask=ask, question=question: ask(runtime, folder, question))
        line = {"name": question["name"], "version": runtime.version, **told}
        if "images" in question and "error" not in told:
            line["answers"] = question["into"]
        print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
