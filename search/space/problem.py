"""The problem that the search of a job solves, compiled once per job and state."""

from __future__ import annotations

from dataclasses import dataclass

from compress.network.outline import Outline
from compress.sensitivity.document import ProfileDocument
from compress.tasks.inspection import DatasetInfo
from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec
from search.space.space import Space, build


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The outlines of a job's networks for the images of its dataset.

    ``own`` is that of its model, ``student`` that of the network whose members are tried instead;
    None if the job names none.
    """

    own: Outline
    student: Outline | None = None

    @property
    def searched(self) -> Outline:
        """The largest network whose members are tried."""
        return self.own if self.student is None else self.student


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a job asks for, on which data and network, and what its baseline came to.

    ``own`` outlines the job's model for the images of the dataset. ``outline`` is that of the
    largest network whose members are tried: the student's if the job names one, otherwise ``own``.
    ``baseline`` is None until it is measured.
    """

    spec: JobSpec
    dataset: DatasetInfo
    own: Outline
    space: Space
    baseline: Measurement | None = None

    @classmethod
    def compiled(
        cls,
        spec: JobSpec,
        dataset: DatasetInfo,
        networks: Networks,
        *,
        baseline: Measurement | None = None,
        profile: ProfileDocument | None = None,
    ) -> Problem:
        """Build the space of a job, on its profile if there is one.

        Raises InvalidSpace, TechniqueDoesNotFit, or ProfileDoesNotFit.
        """
        space = build(spec, networks.searched)
        space = space if profile is None else space.on(profile)
        return cls(spec=spec, dataset=dataset, own=networks.own, space=space, baseline=baseline)

    @property
    def outline(self) -> Outline:
        """The largest network whose members are tried.

        Ranges, patterns of layers and stages of a job refer to this network.
        """
        return self.space.outline

    @property
    def train_images(self) -> int:
        """Images that a network is trained on in one epoch."""
        return self.dataset.splits["train"]
