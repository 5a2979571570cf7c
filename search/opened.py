"""A job as the searcher has it open: what was asked, the space, and the study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from compress.knobs import Scalar
from featherweight.specs.job import JobSpec
from search.space import Space
from search.study.projection import StudyProjection


@dataclass(kw_only=True)
class OpenJob:
    """A job whose study is open."""

    spec: JobSpec
    space: Space
    study: StudyProjection
    is_exhausted: bool = False

    @cached_property
    def controls(self) -> list[dict[str, Scalar]]:
        """Candidates to compare with: at most a third of the search trials, the first of them."""
        most = self.spec.search_trials // 3 if self.spec.controls else 0
        return [params for _, params in self.space.controls()[:most]]
