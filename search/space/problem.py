"""The problem that the search of a job solves, compiled once per job and state."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from compress.network.families.catalog import Architecture
from compress.sensitivity.document import ProfileDocument
from compress.tasks.inspection import DatasetInfo
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from search.space.space import Space, build

Image = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, kw_only=True)
class BaseNetwork:
    """The network that candidates begin from, and how many images train them.

    ``input_shape`` is ``(C, H, W)``; H and W are 0 if unknown.
    """

    architecture: Architecture
    input_shape: tuple[int, int, int]
    num_classes: int
    train_images: int = 0

    @property
    def image(self) -> Image | None:
        """Height and width of the images; None if unknown."""
        _, height, width = self.input_shape
        return (height, width) if height and width else None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a job asks for, on which data and network, and what its baseline came to.

    ``own`` is the architecture of the job's model. ``space.architecture`` is the largest network
    whose members are tried: the student's if the job names one, otherwise the same. ``baseline`` is
    None until it is measured.
    """

    spec: JobSpec
    dataset: DatasetInfo
    own: Architecture
    space: Space
    baseline: Measurement | None = None

    @classmethod
    def compiled(
        cls,
        spec: JobSpec,
        dataset: DatasetInfo,
        *,
        own: Architecture,
        baseline: Measurement | None = None,
        profile: ProfileDocument | None = None,
    ) -> Problem:
        """Build the space of a job, on its profile if there is one.

        Raises InvalidSpace, TechniqueDoesNotFit, or ProfileDoesNotFit.
        """
        space = build(spec, searched(spec, own))
        space = space if profile is None else space.on(profile)
        return cls(spec=spec, dataset=dataset, own=own, space=space, baseline=baseline)

    @cached_property
    def network(self) -> BaseNetwork:
        """The network that candidates begin from, for the images of the dataset."""
        return BaseNetwork(
            architecture=self.space.architecture,
            input_shape=self.dataset.input_shape,
            num_classes=self.dataset.num_classes,
            train_images=self.dataset.splits["train"],
        )

    @property
    def image(self) -> Image:
        """Height and width of the dataset's images in pixels."""
        return self.dataset.input_shape[1:]


def searched(spec: JobSpec, own: Architecture) -> Architecture:
    """Return the largest network whose members are tried: the student, or the model's ``own``.

    Ranges, patterns of layers and stages of a job refer to this network.
    """
    return own if spec.student is None else spec.student.config
