"""One trial, from its assignment to its last report: a straight line.

Every rung ends with a file, measured as it will ship. The report is on disk before it is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from compress import delivery, pipeline
from compress.evaluation import measure
from compress.export.ports import file_ports
from compress.network.network import Artifact, Network
from compress.network.preprocessing import Normalisation
from compress.network.signature import IMAGE_AXES, Signature
from compress.network.sources import family, safetensors
from compress.network.sources.source import DrawnSource, FamilySource, OnnxSource
from compress.targets import registry as targets
from compress.tasks import loading
from compress.tasks.images import ImageData
from compress.techniques.compressed import CompressedModel
from compress.training.context import TrialContext
from compress.values import versions
from compress.values.errors import Stopped
from compress.values.measurement import Measurement, Split
from featherweight.client.worker_client import WorkerClient, file_ref
from featherweight.specs import manifest
from featherweight.specs.manifest import Input, Manifest, Origin
from featherweight.specs.protocol import (
    Assignment,
    Decision,
    EvaluationTask,
    ProfileTask,
    Report,
    SupernetTask,
    TrainingTask,
)
from featherweight.specs.states import Phase
from workers.connection import RetryingConnection
from workers.resources import TrialResources
from workers.spool import FILE_NAMES, AttemptSpool
from workers.stopping import StopFlag
from workers.work import augmentation, evaluation, sensitivity
from workers.work.supernet import SharedTraining

Tell = Callable[[str, float], None]
"""Called with ``(stage, share done)``, for people who watch."""


@dataclass(kw_only=True)
class Stopwatch:
    """Seconds per stage of a trial."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the context's wall time to ``stage``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent


@dataclass(kw_only=True)
class TrialRunner:
    """Everything that one trial is run with."""

    assignment: Assignment
    resources: TrialResources
    spooled: AttemptSpool
    client: WorkerClient
    connection: RetryingConnection
    stop: StopFlag
    tell: Tell
    clock: Stopwatch = field(default_factory=Stopwatch)

    def run(self) -> None:
        """Climb the rungs until the service says stop, or the last one is reached.

        Raises Stopped, and whatever goes wrong on the way.
        """
        if self.assignment.first_rung < len(self.assignment.rungs):
            self._climb()

    def _climb(self) -> None:
        with self.clock.time("load"):
            context = self.resources.context(self.assignment, should_stop=self.stop)
        if self.assignment.evaluation_task is not None:
            self._evaluate(context, self.assignment.evaluation_task)
            return
        network = context.teacher or self._trained(context)
        if self.assignment.supernet_task is not None:
            self._share(network, context, self.assignment.supernet_task)
            return
        if self.assignment.profile_task is not None:
            self._profile(network, context, self.assignment.profile_task)
            return
        compressed = self._compressed(network, context)
        if self.assignment.phase == Phase.BASELINE:
            notes = augmentation.notes(self.assignment, context.data.train, context.task)
            compressed = compressed.evolve(notes=compressed.notes + notes)
        for rung, epochs in enumerate(self.assignment.rungs):
            compressed = self._recovered(compressed, context, epochs=epochs)
            if rung >= self.assignment.first_rung and self._reached(rung, compressed, context).stop:
                return

    def _share(self, baseline: Network, context: TrialContext, given: SupernetTask) -> None:
        """Train the supernet from checkpoint to checkpoint; the whole of it is measured."""
        self._stage("prepare the supernet")
        largest = self.assignment.student or self.assignment.architecture
        assert isinstance(largest, FamilySource)  # only networks of families have members
        training = SharedTraining(given, largest=largest, context=context)
        checkpoint = self.resources.checkpoint(self.assignment, context.data)
        training.begin(checkpoint, baseline)
        first, rungs = self.assignment.first_rung, self.assignment.rungs
        for rung in range(first, len(rungs)):
            done = rungs[rung - 1] if rung else 0
            self._stage("train the supernet")
            with self.clock.time("train"):
                training.train(done, rungs[rung], on_progress=self._epoch)
            compressed = self._compressed(baseline, replace(context, supernet=training.supernet))
            compressed = compressed.evolve(
                epochs=rungs[rung], train_images_per_second=training.images_per_second
            )
            if self._reached(rung, compressed, context, weights_of=training.supernet).stop:
                return

    def _profile(self, baseline: Network, context: TrialContext, given: ProfileTask) -> None:
        """Probe the baseline, whose file and measurement already exist."""
        self._stage("profile the baseline")
        with self.clock.time("profile"):
            document = sensitivity.probe(
                self.assignment,
                given,
                baseline,
                context,
                on_progress=lambda share: self.tell("profile the baseline", share),
            )
        folder = self.spooled.draft(0)
        self.resources.copy_file(given.file, folder / FILE_NAMES["onnx"])
        self.spooled.put(sensitivity.report(document, given, folder, seconds=self.clock.seconds))
        self._stage("report")
        self.spooled.deliver(0, client=self.client, connection=self.connection)

    def _evaluate(self, context: TrialContext, given: EvaluationTask) -> None:
        """Measure stored files on test, except those before the first rung, which are measured."""
        for rung in range(self.assignment.first_rung, len(given.files)):
            self._stage("measure on test")
            file, folder = given.files[rung], self.spooled.draft(rung)
            path = folder / FILE_NAMES["onnx"]
            self.resources.copy_file(file.sha256, path)
            with self.clock.time("measure"):
                found = measure.on_split(
                    path,
                    context.data,
                    "test",
                    task=context.task,
                    threads=self.assignment.latency_threads,
                    signature=None if context.teacher is None else context.teacher.ports,
                )
            seconds = self.clock.seconds
            self.spooled.put(evaluation.report(file, found, folder, rung=rung, seconds=seconds))
            self._stage("report")
            self.spooled.deliver(rung, client=self.client, connection=self.connection)

    def _compressed(self, network: Network, context: TrialContext) -> CompressedModel:
        self._stage("compress")
        with self.clock.time("compress"):
            return pipeline.start(network, self.assignment.candidate, context)

    def _trained(self, context: TrialContext) -> Network:
        training = self.assignment.train
        source = self.assignment.architecture
        assert training is not None  # one of weights and train is given
        assert not isinstance(source, OnnxSource)  # an uploaded file has its weights
        self._stage("train the baseline")
        with self.clock.time("train"):
            network = family.fresh(
                source.config,
                normalisation=training.normalisation or _normalisation(source, context.data),
                input_shape=context.data.input_shape,
                num_classes=context.data.num_classes,
                seed=context.seed,
            )
            return pipeline.train_baseline(
                family.aimed(network, context.data.train.y_N),
                epochs=training.epochs,
                context=context,
                augment=training.augment,
                on_progress=self._epoch,
            )

    def _recovered(
        self, compressed: CompressedModel, context: TrialContext, *, epochs: int
    ) -> CompressedModel:
        self._stage("train")
        with self.clock.time("train"):
            return pipeline.recover(
                compressed,
                context,
                epochs=epochs - compressed.epochs,
                total=self.assignment.rungs[-1],
                schedule=self.assignment.recovery,
                on_progress=self._epoch,
            )

    def _reached(
        self,
        rung: int,
        compressed: CompressedModel,
        context: TrialContext,
        *,
        weights_of: Network | None = None,
    ) -> Decision:
        folder = self.spooled.draft(rung)
        self._stage("export")
        with self.clock.time("export"):
            artifact = delivery.write(
                compressed,
                folder,
                target=targets.find(self.assignment.target),
                data=context.data,
                task=context.task,
            )
        self._stage("measure")
        measurement = self._measured(rung, artifact, compressed, context)
        self._describe(rung, artifact, compressed, measurement, context)
        trained = compressed.network if self.assignment.train is not None else weights_of
        if trained is not None:
            safetensors.save(trained, folder / FILE_NAMES["weights"])
        self.spooled.put(self._report(rung, compressed, measurement, folder))
        self._stage("report")
        return self.spooled.deliver(rung, client=self.client, connection=self.connection)

    def _measured(
        self, rung: int, artifact: Artifact, compressed: CompressedModel, context: TrialContext
    ) -> Measurement:
        is_last = rung == len(self.assignment.rungs) - 1
        splits: tuple[Split, ...] = self.assignment.splits if is_last else ("validation",)
        with self.resources.beside(self.assignment) as beside:
            measurement = measure.run(
                artifact,
                context.data,
                task=context.task,
                splits=splits,
                threads=self.assignment.latency_threads,
                seconds=self.clock.seconds,
                beside=beside,
                should_stop=self.stop,
            )
        # The runner's clock needs it too, so that the next rung's sum includes this rung.
        self.clock.seconds["measure"] = measurement.seconds["measure"]
        speed = compressed.train_images_per_second or self._baseline_speed(context)
        return measurement.model_copy(
            update={
                "train_images_per_second": speed,
                "training_threads": torch.get_num_threads(),
            }
        )

    def _baseline_speed(self, context: TrialContext) -> float | None:
        training = self.assignment.train
        if training is None:
            return None
        return training.epochs * len(context.data.train) / self.clock.seconds["train"]

    def _report(
        self, rung: int, compressed: CompressedModel, measurement: Measurement, folder: Path
    ) -> Report:
        files = [
            file_ref(folder / name, role)
            for role, name in FILE_NAMES.items()
            if (folder / name).exists()
        ]
        trained_here = isinstance(self.assignment.train, TrainingTask)
        return Report(
            rung=rung,
            epochs=self.assignment.rungs[rung],
            measurement=measurement,
            files=tuple(files),
            normalisation=compressed.network.normalisation if trained_here else None,
        )

    def _describe(
        self,
        rung: int,
        artifact: Artifact,
        compressed: CompressedModel,
        measurement: Measurement,
        context: TrialContext,
    ) -> None:
        network, given = compressed.network, self.assignment
        document = Manifest(
            candidate=given.candidate,
            candidate_digest=given.candidate.digest(),
            architecture=given.architecture,
            student=given.student,
            origin=Origin(
                job=given.job,
                trial=given.number,
                rung=rung,
                epochs=given.rungs[rung],
                seed=given.seed,
                recovery=given.recovery,
                augmented=augmentation.done(given, context.data.train, context.task),
                data_sha256=given.dataset,
                weights_sha256=given.weights.sha256 if given.weights else None,
                tutor_sha256=given.tutor.weights.sha256 if given.tutor else None,
                supernet_sha256=given.supernet.sha256 if given.supernet else None,
            ),
            input=_input(network),
            ports=_ports(network),
            num_classes=network.num_classes,
            class_names=file_ports.kept_names(context.data.class_names),
            kept_words=artifact.kept_words,
            measurement=measurement,
            file_sha256=artifact.sha256,
            file_bytes=artifact.size_bytes,
            versions=versions.collect(),
        )
        path = artifact.path.with_name(FILE_NAMES["manifest"])
        path.write_text(manifest.dump(document), encoding="utf-8")

    def _stage(self, stage: str) -> None:
        """Begin a stage: the place to stop, and to report what comes next."""
        if self.stop():
            raise Stopped(self.stop.reason)
        self.tell(stage, 0.0)

    def _epoch(self, epoch: int, epochs: int, loss: float) -> None:
        self.tell(f"train, loss {loss:.3f}", epoch / epochs)


def _normalisation(source: FamilySource | DrawnSource, data: ImageData) -> Normalisation:
    """Measure what a new network begins with; ids are looked up as they are."""
    if isinstance(source, DrawnSource) and source.config.takes_ids:
        return Normalisation.identity_of(data.input_shape)
    return loading.sample_statistics(data.train)


def _input(network: Network) -> Input:
    port = network.signature.taken[0]
    return Input(
        name=port.name,
        dtype=port.dtype,
        layout=port.layout if len(network.input_shape) == IMAGE_AXES else None,
        shape=network.input_shape,
        normalisation=network.normalisation,
    )


def _ports(network: Network) -> Signature | None:
    """All ports of its files, if the first input and the classes do not say them."""
    signature = network.signature
    is_said = signature.has_one_input and signature.answer == "rows" and signature.has_plain_answer
    return None if is_said else signature
