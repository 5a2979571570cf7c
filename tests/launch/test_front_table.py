"""A front as a table: how long files take, beside the baseline and on which device, and counts."""

import io

from rich.console import Console

from compress.values.latency.latency import Latency
from featherweight.cli import tables
from featherweight.specs.cluster import MeterReading, RuntimeFigures
from featherweight.specs.objective import MetricSchema
from featherweight.specs.schemas import FrontPoint, FrontSchema, QualitySchema
from service.reports import figures
from tests import factories, meter_factories

CPU = "Some CPU at 2 GHz"


def latency(median_ms, *, device=CPU, **changes):
    fields = {"median_ms": median_ms, "p95_ms": 2 * median_ms, "threads": 1, "batch": 1}
    return Latency.model_validate(fields | {"device": device} | changes)


def point(number, timed):
    measured = factories.measurement(latency=timed, quality=factories.quality(macro_f1=0.8125))
    return FrontPoint(
        trial=f"t{number}", number=number, phase="search", description="what was done",
        candidate=factories.candidate(0.1 * number), seed=0, epochs=0, artifact=f"a{number}",
        sha256="0" * 64, size_bytes=1000, feasible=True, measurement=measured, url="/",
        manifest_url=None, figures=figures.of(measured),
    )  # fmt: skip


def shown(*points, compared=(), **changes):
    front = FrontSchema(
        job="j", state="running", objectives=(), baseline=points[0], points=points[1:],
        compared=[MetricSchema.of(metric) for metric in compared], hypervolume=0.5, **changes,
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=220)
    console.print(tables.front(front))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_ratio_stands_beside_the_milliseconds_and_the_device_below():
    beside = {"baseline_ms": 4.0, "reference_ms": 3.0}
    text = shown(point(0, latency(3.0)), point(1, latency(1.0, **beside)))
    line = next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert "1.000 (2.000)" in line
    assert "0.25" in line
    assert f"latency: on {CPU}, 1 thread" in text


def test_files_from_several_devices_are_told_apart():
    text = shown(
        point(0, latency(3.0)),
        point(1, latency(1.0, device="Another CPU", threads=2)),
        point(2, latency(2.0, device=None)),
        point(3, latency(1.5, runtime="onnxruntime", runtime_version="1.32.0")),
    )
    assert f"latency of 0: on {CPU}, 1 thread" in text
    assert f"latency of 3: on {CPU}, 1 thread, onnxruntime 1.32.0" in text
    assert "latency of 1: on Another CPU, 2 threads" in text
    assert "latency of 2: on an unnamed device, 1 thread" in text


def test_what_the_job_compares_has_a_column():
    points = (point(0, latency(3.0)), point(1, latency(1.0)))
    macs = f"{points[1].measurement.macs:,}"
    asked = shown(*points, compared=("accuracy", "macs", "macro_f1"))
    line = next(line for line in asked.splitlines() if line.strip().startswith("1 "))
    assert line.index(macs) < line.index("81.25 %")
    assert "macs" in asked
    assert "macro_f1" in asked
    assert "parameters" not in asked
    assert "macs" not in shown(*points, compared=("accuracy", "size_bytes"))


def test_a_figure_that_was_not_measured_is_a_dash():
    old = point(1, latency(1.0)).model_copy(update={"figures": {}})
    text = shown(point(0, latency(3.0)), old, compared=("macro_f1",))
    line = next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert "81.25 %" not in line
    assert "81.25 %" in text


def test_the_figure_on_test_stands_before_validation_with_its_interval_and_images():
    test = QualitySchema(
        metric=MetricSchema.of("accuracy"),
        value=0.9833,
        accuracy=0.9833,
        images=360,
        low=0.9641,
        high=0.9923,
    )
    known = point(1, latency(1.0)).model_copy(update={"test": test})
    text = shown(point(0, latency(3.0)), known)
    line = next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert line.index("98.33 % (96.4 to 99.2)") < line.index("90.00 %")
    assert "accuracies: test of 360 images" in text


def test_what_is_recommended_and_what_is_doubtful_is_said_below():
    said = {
        "recommended": "a1",
        "recommendation": "trial 1: 98.33% on test",
        "test_note": "not yet [so far]",
        "warnings": ("validation holds only class 3",),
    }
    lines = shown(point(0, latency(3.0)), point(1, latency(1.0)), **said).splitlines()
    assert "recommended: trial 1: 98.33% on test" in lines
    assert "test: not yet [so far]" in lines
    assert "warning: validation holds only class 3" in lines


def test_epochs_are_counted_in_words():
    once = point(1, latency(1.0)).model_copy(update={"epochs": 1})
    text = shown(point(0, latency(3.0)), once)
    assert "what was done, 1 epoch\n" in "\n".join(line.rstrip() for line in text.split("\n"))
    assert "what was done, 0 epochs" in text


def test_a_latency_from_a_busy_machine_is_marked_and_the_doubt_stands_below():
    doubt = {"busy": True, "within": 1.15}
    text = shown(
        point(0, latency(3.0)), point(1, latency(1.0, **doubt)), point(2, latency(2.0, **doubt))
    )
    line = next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert "~1.000 (2.000)" in line
    assert "~3.000" not in text
    assert "latency of 1, 2: measured on a busy machine; right within a factor of 1.2" in text
    assert "busy" not in shown(point(0, latency(3.0)), point(1, latency(1.0)))


def test_the_target_and_the_oldest_runtimes_stand_below():
    def made(number, target, *runtimes):
        one = point(number, latency(1.0))
        own = {"target": target, "runtimes": runtimes}
        return one.model_copy(update={"measurement": one.measurement.model_copy(update=own)})

    runtimes = ("onnxruntime >= 1.15", "openvino >= 2024.6")
    new = [made(number, "portable", *runtimes) for number in (0, 1)]
    assert "target portable (onnxruntime >= 1.15, openvino >= 2024.6)" in shown(*new)
    assert ": trials" not in shown(*new)
    text = shown(*(made(n, "onnxruntime", f"onnxruntime >= 1.1{n}") for n in (7, 5)))
    assert "target onnxruntime (onnxruntime >= 1.17): trials 7" in text
    assert "target onnxruntime (onnxruntime >= 1.15): trials 5" in text


def test_a_meter_has_a_column_only_where_there_is_one():
    result = meter_factories.result(3.25)
    reading = MeterReading(
        meter="board", artifact="a1", state="done", device="Pi", cpu="A76", os="Linux",
        figures=result.figures,
    )  # fmt: skip
    refused = reading.model_copy(
        update={"figures": (RuntimeFigures(runtime=result.figures[0].runtime, refusal="opset"),)}
    )
    points = [point(number, latency(1.0 + number)) for number in range(3)]
    assert "board" not in shown(*points)
    points[1] = points[1].model_copy(update={"meters": (reading,)})
    points[2] = points[2].model_copy(update={"meters": (refused,)})
    text = shown(*points)
    assert "board ms (onnxruntime)" in text
    assert "3.250" in next(line for line in text.splitlines() if line.strip().startswith("1 "))
    assert "refused" in next(line for line in text.splitlines() if line.strip().startswith("2 "))
    assert "board: onnxruntime 1.32.0 on Pi, A76, 1 thread" in text
    assert "board, trial 2: onnxruntime 1.32.0 refuses the file: opset" in text
