"""The feature loss of one training: both networks watched, and regressors between their widths."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor, nn

from compress.training.distillation import features, taps
from compress.training.distillation.settings import Features
from compress.training.distillation.taps import Taps
from compress.values.errors import InvalidCandidate


class Comparison:
    """Stage by stage from the last one back: as many stages as both networks have.

    ``regressors`` are 1x1 convolutions for the stages whose widths differ, trained along with the
    student and left behind with it; every fit starts them from least squares on its first images.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        kind: Features,
        student_x: Tensor,
        teacher_x: Tensor,
    ) -> None:
        ends = taps.stages(student, student_x), taps.stages(teacher, teacher_x)
        count = min(map(len, ends))
        if count == 0:
            raise InvalidCandidate(
                f"distillation: features={kind!r} compares maps of more than one pixel, and "
                f"student and teacher have {len(ends[0])} and {len(ends[1])} stages of them: "
                "use features='none'"
            )
        self._kind: Features = kind
        self._student = Taps(student, ends[0][-count:])
        self._teacher = Taps(teacher, ends[1][-count:])
        self._regressors: list[nn.Module] = []
        if kind == "hints":
            taps.run(student, student_x)
            taps.run(teacher, teacher_x)
            self._regressors = [_regressor(s, t) for s, t in self._pairs()]
        self.regressors = nn.ModuleList(self._regressors)

    def loss(self) -> Tensor:
        """The loss between the maps of the latest run of both; their hooks forget them."""
        pairs = self._pairs()
        match self._kind:
            case "none":
                raise ValueError("there are no features to compare")
            case "hints":
                found = [
                    features.hint_loss(regressor(s), t)
                    for regressor, (s, t) in zip(self._regressors, pairs, strict=True)
                ]
            case "attention":
                found = [features.attention_loss(s, t) for s, t in pairs]
            case "relational":
                found = [features.relational_loss(*map(features.pooled_features, pairs[-1]))]
            case _:
                assert_never(self._kind)
        return torch.stack(found).mean()

    def close(self) -> None:
        """Take the hooks out of both networks."""
        self._student.close()
        self._teacher.close()

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        both = zip(self._student.take(), self._teacher.take(), strict=True)
        return [features.same_size(s.float(), t.detach().float()) for s, t in both]


def _regressor(student_BCHW: Tensor, teacher_BDHW: Tensor) -> nn.Module:
    narrow, wide = student_BCHW.shape[1], teacher_BDHW.shape[1]
    if narrow == wide:
        return nn.Identity()
    # Made without memory first: drawing weights would use the global random numbers.
    regressor = nn.Conv2d(narrow, wide, 1, bias=False, device="meta")
    regressor.weight = nn.Parameter(features.least_squares(student_BCHW, teacher_BDHW))
    return regressor
