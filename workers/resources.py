"""Data and networks that trials need, by digest, kept in memory from trial to trial."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import torch

from compress.evaluation.latency import Beside
from compress.network.network import Network, ShouldStop
from compress.network.outline import Outline
from compress.network.running import threads
from compress.network.sources import onnx, safetensors
from compress.network.sources.family import FamilyMembers
from compress.network.sources.source import NetworkSource, OnnxSource
from compress.tasks import mapped, registry
from compress.tasks.images import ImageData
from compress.tasks.kinds.unlabelled import Unlabelled
from compress.training import references, reinsertion
from compress.training.context import TrialContext, choose_device
from featherweight.specs.protocol import Assignment, Weights
from workers.files.cache import Cache

Value = TypeVar("Value")
_MOST_LOGITS_FILES = 64


class Newest(Generic[Value]):
    """Remembers the newest value, with the key for which it was made."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._value: Value | None = None

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """Return the value for ``key``, made anew unless it is the one of the last call."""
        if self._value is None or key != self._key:
            self._value = None  # before the next is made: two data sets may not fit
            self._value = make()
            self._key = key
        return self._value


class TrialResources:
    """The caches of one trainer process."""

    def __init__(self, cache: Cache, *, logits_folder: Path) -> None:
        self.device: torch.device = choose_device()
        self._cache = cache
        self._logits_folder = logits_folder
        self._data: Newest[ImageData] = Newest()
        self._network: Newest[Network] = Newest()
        self._uploaded: Newest[Network] = Newest()
        self._referenced: Newest[ImageData] = Newest()
        self._unfolded: Newest[Network] = Newest()
        self._supernet: Newest[Network] = Newest()
        self._most_threads = torch.get_num_threads()
        _keep_newest(logits_folder, _MOST_LOGITS_FILES)

    def context(self, assignment: Assignment, *, should_stop: ShouldStop) -> TrialContext:
        """Return the context of a trial: data, the baseline as teacher if it exists, and the rest.

        Raises InvalidData, InvalidWeights, InvalidNetwork, and the errors of a download.
        """
        # The same file may be read for two tasks.
        key = f"{assignment.task} {assignment.dataset}"
        images = self._data.get(key, lambda: self._load_data(assignment))
        teacher = self._baseline(assignment, images)
        task = registry.TASKS[assignment.task].of(images)
        if isinstance(task, Unlabelled):
            assert teacher is not None  # a job without labels has an uploaded model
            task = task.fitted(teacher.signature, assignment.outputs)
            images = self._with_references(assignment, images, teacher, should_stop)
        context = TrialContext(
            task=task,
            data=images,
            device=self.device,
            seed=assignment.seed,
            teacher=teacher,
            uploaded_teacher=self._uploaded_teacher(assignment, images),
            members=_members(assignment),
            supernet=self._shared(assignment, assignment.supernet, images),
            cache_folder=self._logits_folder,
            augment=assignment.recovery.augment,
            should_stop=should_stop,
        )
        self._set_threads(assignment, context)
        return context

    def checkpoint(self, assignment: Assignment, images: ImageData) -> Network | None:
        """Return the supernet as far as it is trained, or None before the first checkpoint.

        Raises InvalidWeights, and the errors of a download.
        """
        given = assignment.supernet_task
        return None if given is None else self._shared(assignment, given.checkpoint, images)

    @contextmanager
    def beside(self, assignment: Assignment) -> Iterator[Beside | None]:
        """Yield the baseline's file, timed next to the candidate's; None for the baseline itself.

        Raises the errors of a download.
        """
        file = assignment.baseline_file
        if file is None:
            yield None
            return
        with self._cache.hold(file.sha256) as path:
            yield Beside(path=path, reference_ms=file.latency_ms)

    def copy_file(self, sha256: str, target: Path) -> None:
        """Put a stored file at ``target``. Raises the errors of a download."""
        with self._cache.hold(sha256) as path:
            shutil.copyfile(path, target)

    def _set_threads(self, assignment: Assignment, context: TrialContext) -> None:
        outline = _outline(assignment, context)
        suited = threads.suited(outline, images=context.batch_size, most=self._most_threads)
        torch.set_num_threads(suited)

    def _baseline(self, assignment: Assignment, images: ImageData) -> Network | None:
        if assignment.weights is None:
            return None
        found = self._kept(self._network, assignment.weights, assignment.architecture, images)
        trains = any(assignment.rungs)
        return self._with_norms(found, assignment, images) if trains else found

    def _uploaded_teacher(self, assignment: Assignment, images: ImageData) -> Network | None:
        given = assignment.tutor
        if given is None:
            return None
        return self._kept(self._uploaded, given.weights, given.architecture, images)

    def _shared(
        self, assignment: Assignment, given: Weights | None, images: ImageData
    ) -> Network | None:
        if given is None:
            return None
        return self._kept(self._supernet, given, _largest(assignment), images)

    def _kept(
        self, newest: Newest[Network], given: Weights, source: NetworkSource, images: ImageData
    ) -> Network:
        # The same weights may read images of another size in the next job.
        key = f"{images.input_shape} {given.model_dump_json()} {source!r}"
        return newest.get(key, lambda: self._load_network(given, source, images))

    def _with_norms(self, network: Network, assignment: Assignment, images: ImageData) -> Network:
        """Return a network with the norms that its file has folded away, measured on this data."""
        key = f"{assignment.dataset} {assignment.weights} {assignment.architecture!r}"
        return self._unfolded.get(
            key, lambda: reinsertion.reinserted(network, images.train, device=self.device)
        )

    def _with_references(
        self, assignment: Assignment, data: ImageData, network: Network, should_stop: ShouldStop
    ) -> ImageData:
        """Return the data with the answers of the network as it was uploaded."""
        key = f"{assignment.dataset} {assignment.weights} {assignment.architecture!r}"
        return self._referenced.get(
            key,
            lambda: references.answered(data, network, device=self.device, should_stop=should_stop),
        )

    def _load_data(self, assignment: Assignment) -> ImageData:
        """Map the decoded data, which the first trainer on this machine writes for all of them."""
        task = registry.TASKS[assignment.task]

        def decode(source: Path, target: Path) -> None:
            mapped.write(task.load(source), target)

        kind = f"{task.name} {mapped.REVISION}"
        with self._cache.hold_made(assignment.dataset, kind, decode) as path:
            return mapped.read(path)

    def _load_network(self, given: Weights, source: NetworkSource, images: ImageData) -> Network:
        with self._cache.hold(given.sha256) as path:
            if isinstance(source, OnnxSource):
                return onnx.load(
                    path,
                    input_shape=images.input_shape,
                    # Data without classes takes whatever the network answers.
                    num_classes=images.num_classes or None,
                    normalisation=given.normalisation,
                )
            return safetensors.load(
                path,
                architecture=source.config,
                normalisation=given.normalisation,
                input_shape=images.input_shape,
                num_classes=images.num_classes,
            )


def _outline(assignment: Assignment, context: TrialContext) -> Outline:
    """The largest network that the trial may train."""
    source = _largest(assignment)
    if isinstance(source, OnnxSource):
        assert context.teacher is not None  # what was uploaded is the baseline
        return onnx.outline(context.teacher)
    return source.outline(input_shape=context.data.input_shape, num_classes=assignment.num_classes)


def _members(assignment: Assignment) -> FamilyMembers:
    student = assignment.student
    return FamilyMembers(largest=None if student is None else student.config)


def _largest(assignment: Assignment) -> NetworkSource:
    """The network whose members the job tries."""
    return assignment.student or assignment.architecture


def _keep_newest(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in files[count:]:
        old.unlink(missing_ok=True)
