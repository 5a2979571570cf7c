"""Compute a teacher's raw logits on fixed augmented views of the training images, once.

Raw logits leave the temperature free, so one cache serves every candidate of a job.

Legend: N images, K classes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from uuid import uuid4

import safetensors.torch
import torch
from torch import Tensor

from compress.network.network import Network, ShouldStop, never
from compress.tasks.images import Images
from compress.tasks.task import Task, View
from compress.training import inference
from compress.values.errors import NumericalError
from compress.values.schedule import Augment

_MANY_IMAGES = 20_000
_SEED = 20_260_103
"""Constant, so that every trial and every job shares one set of views."""


class TeacherLogits:
    """The logits of one teacher on ``num_views`` views: 4 of up to 20,000 images, else 2.

    A training takes the views in turn. More views mean more passes of the teacher, each in the
    epoch that first needs it, and fewer repetitions for the student. With ``folder``, logits are
    also kept on disk, under a digest of the teacher and the images and the name of the view: the
    augmentation, the number of the draw, and the revision of what a draw shows.
    """

    def __init__(
        self,
        teacher: Network,
        images: Images,
        *,
        task: Task,
        device: torch.device,
        folder: Path | None = None,
        num_views: int | None = None,
    ) -> None:
        """Take the teacher and its images. Raises ValueError if there would be no view."""
        if num_views is not None and num_views < 1:
            raise ValueError(f"a teacher needs at least one view of the images, got {num_views}")
        self.teacher = teacher
        self._images = images
        self._task = task
        self._device = device
        self._folder = folder
        self._digest: str | None = None
        self._logits: dict[str, Tensor] = {}
        self.num_views = num_views or (4 if len(images) <= _MANY_IMAGES else 2)

    def view(self, number: int | None, *, augment: Augment = "auto") -> View | None:
        """Return the fixed view of that number, below ``num_views``; None for unchanged images."""
        augmented = self._task.decided(augment, self._images)
        if number is None or augmented == "none":
            return None
        generator = torch.Generator().manual_seed(_SEED + number)
        return self._task.augment(self._images.x_NCHW, generator, augmented=augmented)

    def logits(
        self, number: int | None, *, augment: Augment = "auto", should_stop: ShouldStop = never
    ) -> Tensor:
        """Return raw logits ``(N, K)`` on a view, float32. Raises Stopped and NumericalError."""
        augmented = self._task.decided(augment, self._images)
        is_plain = number is None or augmented == "none"
        name = "plain" if is_plain else f"{augmented}-{number}"
        if name not in self._logits:
            view = self.view(number, augment=augmented)
            self._logits[name] = self._load_or_compute(name, view, should_stop)
        return self._logits[name]

    def _load_or_compute(self, name: str, view: View | None, should_stop: ShouldStop) -> Tensor:
        loaded = self._load(name)
        return self._compute(name, view, should_stop) if loaded is None else loaded

    def _compute(self, name: str, view: View | None, should_stop: ShouldStop) -> Tensor:
        logits_NK = inference.logits(
            self.teacher,
            self._images.x_NCHW,
            device=self._device,
            view=view,
            should_stop=should_stop,
        )
        if not bool(torch.isfinite(logits_NK).all()):
            raise NumericalError("the teacher's logits hold a NaN or an infinity")
        if self._folder is not None:
            _write(self._path(self._folder, name), logits_NK)
        return logits_NK

    def _load(self, name: str) -> Tensor | None:
        if self._folder is None or not (path := self._path(self._folder, name)).exists():
            return None
        return safetensors.torch.load_file(path)["logits"]

    def _path(self, folder: Path, name: str) -> Path:
        self._digest = self._digest or _digest(self.teacher, self._images)
        view = f"r{self._task.view_revision}-{name}"
        return folder / f"teacher-{self._digest}-{view}.safetensors"


def _write(path: Path, logits_NK: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    safetensors.torch.save_file({"logits": logits_NK}, part)
    part.replace(path)


def _digest(teacher: Network, images: Images) -> str:
    digest = hashlib.blake2b(teacher.normalisation.model_dump_json().encode(), digest_size=16)
    state = teacher.module.state_dict()
    for name, tensor in [*sorted(state.items()), ("images", images.x_NCHW)]:
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.hexdigest()
