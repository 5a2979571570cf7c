"""JobSpec: what a user asks for. Frozen, closed, and the source of the served JSON schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.network.preprocessing import Normalisation
from compress.network.sources.source import FamilySource, TrainableSource
from compress.targets import registry as targets
from compress.targets.registry import TargetName
from compress.tasks.names import FIRST_TASK, TASK_METRICS, TEXT_TASKS, Comparison, TaskName
from compress.training.distillation.settings import LOSSES_OF_ALL
from compress.values.knobs import STORED, Choice, Range, as_recorded
from compress.values.measurement import FIRST_PRIMARY, METRICS, PERTURBED_QUALITY, QUALITY, Metric
from compress.values.schedule import AugmentField, Schedule
from featherweight.specs.constraints import ConstraintField
from featherweight.specs.names import JobName, Reference
from featherweight.specs.objective import ObjectiveField
from featherweight.specs.phases import Budget, Finish, Profile, SupernetTraining, WarmStart
from featherweight.specs.ranges import Techniques, every_technique
from featherweight.specs.stopping import Controls, EarlyStopping, StopRules

OutputName: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
_MEMBER = "family_member"
_QUANTIZATION = "quantization"
_PROFILED = frozenset({"filter_pruning", "quantization"})
"""Techniques whose strength per layer a profile can decide."""
_OF_IMAGES = frozenset({"mirroring"})
"""Techniques that only networks of images know."""
_ASKED_FOR = frozenset({"noise", "adjusted_loss"})
"""Techniques that a job has only if it says so: they rarely help, and never an image."""
_OF_WORDS = frozenset({"vocabulary_pruning"})
"""Techniques that only networks of words know."""
_NOT_VARIED = frozenset({"auto", "none"})
"""What training may be asked of examples that are no images."""
_BEFORE: dict[str, Any] = {"allow_chance_baseline": True, "target": targets.AS_MADE.name}
"""The meaning of a stored spec that is older than the field (docs/decisions/engine/0014)."""
SamplerName = Literal[
    "auto",
    "known_cost",
    "tpe",
    "nsga2",
    "nsga3",
    "regularized_evolution",
    "local_search",
    "cmaes",
    "gp",
    "random",
]


def _every_technique_of(fields: Mapping[str, Any]) -> dict[str, dict[str, Range]]:
    """Every technique that a network of the task can have; ``fields`` are those read before."""
    task = fields.get("task", FIRST_TASK)
    others = _ASKED_FOR | (_OF_IMAGES if task != FIRST_TASK else frozenset())
    others |= frozenset() if task in TEXT_TASKS else _OF_WORDS
    return {name: knobs for name, knobs in every_technique().items() if name not in others}


class UntrainedModel(BaseModel, frozen=True, extra="forbid"):
    """A network that the baseline phase trains first, from a seeded random start."""

    architecture: TrainableSource
    epochs: int = Field(ge=1, le=1000, description="Epochs of baseline training.")
    normalisation: Normalisation | None = Field(
        default=None, description="Left out: mean and deviation of the training split."
    )
    augment: AugmentField = "auto"

    @classmethod
    def of_record(cls, document: Any) -> UntrainedModel:
        """Read the output of ``model_dump`` of this or an older version."""
        return cls.model_validate(as_recorded(cls, document))


class JobSpec(BaseModel, frozen=True, extra="forbid"):
    """A job: a network, its data, the allowed techniques, the objectives, and the budget."""

    name: JobName = "job"
    task: TaskName = FIRST_TASK
    model: Reference | UntrainedModel
    data: Reference
    teacher: Reference | None = Field(
        default=None,
        description="The model that teaches if the teacher of distillation is uploaded.",
    )
    student: FamilySource | None = Field(
        default=None,
        description="The largest network of the family whose members are tried; left out: the "
        "model's own.",
    )
    supernet: SupernetTraining | None = Field(
        default=None, description="Share trained weights between the members that are tried."
    )
    profile: Profile | None = Field(
        default=None, description="Probe the model first, and let the search begin from that."
    )
    techniques: Techniques = Field(default_factory=_every_technique_of)
    target: TargetName = Field(
        default=targets.DEFAULT.name,
        description="Where the files must run: the form in which each is made, proven and measured "
        "(`GET /v1/targets`).",
    )
    objectives: tuple[ObjectiveField, ...] = Field(min_length=1, max_length=3)
    constraints: tuple[ConstraintField, ...] = Field(default=(), max_length=8)
    budget: Budget = Budget()
    early_stopping: EarlyStopping = EarlyStopping()
    recovery: Schedule = Field(
        default=Schedule(), description="How candidates are trained after their compression."
    )
    stop: StopRules = StopRules()
    finish: Finish = Finish()
    sampler: SamplerName = "auto"
    controls: bool | Controls = Field(
        default=True,
        description="Spend a few search trials on uniform controls and random points, for "
        "comparison.",
    )
    outputs: dict[OutputName, Comparison] = Field(
        default_factory=dict,
        max_length=64,
        exclude_if=lambda value: not value,
        description="How outputs of an unlabelled task are compared with the baseline's, by name: "
        "distribution (chances along the last axis), cosine (direction), or relative (size of the "
        "error). Left out: chances behind a softmax, directions of rows, sizes else.",
    )
    expected_accuracy: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Accuracy of the uploaded model on images it has never seen, if you know it: "
        "the report warns if the validation split disagrees.",
    )
    allow_chance_baseline: bool = Field(
        default=False,
        description="Search even if the uploaded model is no better on validation than always "
        "answering one class; otherwise the job stops once its baseline is measured.",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    warm_start: WarmStart | None = Field(
        default=None, description="Finished jobs whose best candidates open the search."
    )

    @classmethod
    def of_record(cls, document: Mapping[str, Any]) -> JobSpec:
        """Read the output of ``model_dump`` of this or an older version.

        A missing field means what every job did before the field existed, not the default of a new
        job. Raises the ValidationError of pydantic if it is not a job.
        """
        parts = {
            "recovery": Schedule,
            "early_stopping": EarlyStopping,
            "model": UntrainedModel,
            "supernet": SupernetTraining,
        }
        found = {**_BEFORE, "recovery": {}, "early_stopping": {}, **document}
        read = {name: as_recorded(part, found.get(name)) for name, part in parts.items()}
        if "augment" not in found["recovery"]:
            read["techniques"] = _calibrated_by_extremes(found.get("techniques"))
        return cls.model_validate(found | read, context=STORED)

    @model_validator(mode="after")
    def _consistent(self) -> JobSpec:
        metrics = [objective.metric for objective in self.objectives]
        if len(set(metrics)) != len(metrics):
            raise ValueError(f"every objective needs its own metric, got {metrics}")
        if self.search_trials < 1:
            first = "a baseline"
            first += ", a supernet" if self.trains_supernet else ""
            first += ", a profile" if self.profile else ""
            raise ValueError(
                f"budget.trials must leave {first} and a search trial beside the "
                f"{self.finish.trials} of finish, got {self.budget.trials}"
            )
        return self

    @model_validator(mode="after")
    def _compares_what_is_measured(self) -> JobSpec:
        known = TASK_METRICS[self.task]
        for metric in self.compared:
            if metric == PERTURBED_QUALITY and self.task in TEXT_TASKS:
                continue
            if METRICS[metric].is_quality and metric not in (QUALITY, *known):
                raise ValueError(
                    f"{self.task} has no {metric}: its metrics are {QUALITY} (that is {known[0]}) "
                    f"and {', '.join(known)}"
                )
        if self.expected_accuracy is not None and known[0] != FIRST_PRIMARY:
            raise ValueError(f"expected_accuracy: {self.task} has no accuracy: leave it out")
        if self.outputs and self.task != "unlabelled":
            raise ValueError(
                f"outputs says how an unlabelled task compares them, not {self.task}: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _learns_as_its_task_can(self) -> JobSpec:
        losses = self.techniques.get("distillation", {}).get("loss")
        if TASK_METRICS[self.task][0] == FIRST_PRIMARY or not isinstance(losses, Choice):
            return self
        for loss in losses.choices:
            if loss not in LOSSES_OF_ALL:
                raise ValueError(
                    f"techniques.distillation.loss can be {loss!r}, which tells one class from the "
                    f"others; {self.task} has {', '.join(LOSSES_OF_ALL)}"
                )
        return self

    @model_validator(mode="after")
    def _suits_its_task(self) -> JobSpec:
        if self.task == "unlabelled" and isinstance(self.model, UntrainedModel):
            raise ValueError(
                "model.architecture: unlabelled compares answers with those of an uploaded model; "
                "a network that is trained here needs labels"
            )
        if self.task == "image_classification":
            return self
        for name in sorted(_OF_IMAGES & set(self.techniques)):
            raise ValueError(f"techniques.{name} is for images, not {self.task}: leave it out")
        asked = {"recovery": self.recovery, "model": self.model, "supernet": self.supernet}
        for field, part in asked.items():
            augment = getattr(part, "augment", "none")
            if augment not in _NOT_VARIED:
                raise ValueError(
                    f"{field}.augment is {augment!r}, and only images are varied, not the examples "
                    f"of {self.task}: let it be none, or leave it out"
                )
        return self

    @model_validator(mode="after")
    def _can_train(self) -> JobSpec:
        least, limit = self.early_stopping.first_training, self.budget.epochs
        if limit is not None and least is not None and limit < least:
            raise ValueError(
                f"budget.epochs of {limit} lets no search trial train: the first rung that trains "
                f"takes {least} (early_stopping.rungs)"
            )
        return self

    @model_validator(mode="after")
    def _expects(self) -> JobSpec:
        if self.expected_accuracy is not None and isinstance(self.model, UntrainedModel):
            raise ValueError(
                f"expected_accuracy {self.expected_accuracy:g} is that of an uploaded model, and "
                "this one is trained here: leave it out"
            )
        return self

    @model_validator(mode="after")
    def _taught(self) -> JobSpec:
        if self.may_learn_from_upload and self.teacher is None:
            raise ValueError(
                "techniques.distillation.teacher can be 'uploaded': name an uploaded model as the "
                "job's teacher, or leave 'uploaded' out"
            )
        if self.teacher is not None and not self.may_learn_from_upload:
            raise ValueError(
                f"no candidate would learn from the teacher {self.teacher!r}: put 'uploaded' among "
                "techniques.distillation.teacher, or leave teacher out"
            )
        return self

    @model_validator(mode="after")
    def _has_members(self) -> JobSpec:
        for field in ("student", "supernet"):
            if getattr(self, field) is not None and _MEMBER not in self.techniques:
                raise ValueError(
                    f"no candidate would be a member of the {field}: list {_MEMBER} among the "
                    f"techniques, or leave {field} out"
                )
        asked = self.techniques.get(_MEMBER, {}).get("weights")
        if isinstance(asked, Choice):
            self._check_weights([str(choice) for choice in asked.choices])
        return self

    @model_validator(mode="after")
    def _times_what_was_run(self) -> JobSpec:
        target = targets.find(self.target)
        timed = [name for name in self.compared if METRICS[name].needs == "runtime"]
        if target.unproven and timed:
            raise ValueError(
                f"{timed[0]} is measured in ONNX Runtime, which says nothing of the target "
                f"{target.name!r}: leave it out of objectives and constraints, or name another "
                f"target ({', '.join(each.name for each in targets.PROVEN)})"
            )
        return self

    @model_validator(mode="after")
    def _is_profiled(self) -> JobSpec:
        if self.profile is None:
            return self
        if _MEMBER in self.techniques:
            raise ValueError(
                f"the profile measures the model itself, and {_MEMBER} tries other networks: leave "
                "one of the two out"
            )
        if not _PROFILED & set(self.techniques):
            raise ValueError(
                f"no candidate would use the profile: list one of {sorted(_PROFILED)} among the "
                "techniques, or leave profile out"
            )
        if self.profile.allocate and self.warm_start is not None:
            raise ValueError(
                "warm_start proposes values of knobs that profile.allocate puts others in the "
                "place of: let allocate be false, or leave warm_start out"
            )
        return self

    def _check_weights(self, asked: Sequence[str]) -> None:
        field = f"techniques.{_MEMBER}.weights"
        if "supernet" in asked and self.supernet is None:
            raise ValueError(f"{field} can be 'supernet': give the job a supernet, or leave it out")
        if "inherited" in asked and self.student is not None:
            raise ValueError(
                f"{field} cannot be 'inherited' where the members are those of a student: the "
                "model's weights are of another network. Use 'fresh', or 'supernet' with a supernet"
            )
        if "supernet" not in asked and self.supernet is not None:
            raise ValueError(
                f"no candidate would use the supernet: put 'supernet' into {field}, or leave one "
                "of the two out"
            )

    @property
    def ranges(self) -> dict[str, dict[str, Range]]:
        """The techniques' ranges, with the member's weights where the job leaves only one kind."""
        if _MEMBER not in self.techniques or (self.student is None and self.supernet is None):
            return self.techniques
        weights = Choice(choices=("fresh" if self.supernet is None else "supernet",))
        return self.techniques | {_MEMBER: {"weights": weights, **self.techniques[_MEMBER]}}

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the objectives, in order."""
        return tuple(objective.metric for objective in self.objectives)

    @property
    def compared(self) -> tuple[Metric, ...]:
        """Metrics of the objectives, then those that only constraints and the target name."""
        bounds = (*self.constraints, *self.stop.target)
        return tuple(dict.fromkeys((*self.metrics, *(bound.metric for bound in bounds))))

    @property
    def trains_supernet(self) -> bool:
        """Whether a trial of the budget trains the weights that members share."""
        return self.supernet is not None and self.supernet.epochs > 0

    @property
    def may_learn_from_upload(self) -> bool:
        """Whether an uploaded model is among the teachers of the job's distillation."""
        teachers = self.techniques.get("distillation", {}).get("teacher")
        return isinstance(teachers, Choice) and "uploaded" in teachers.choices

    @property
    def search_trials(self) -> int:
        """The number of search trials in the budget."""
        before = 1 + self.trains_supernet + (self.profile is not None)
        return self.budget.trials - before - self.finish.trials

    @property
    def limits_rungs(self) -> bool:
        """Whether trials may stop because a rung would take too much of the job's seconds."""
        return self.budget.seconds is not None and self.early_stopping.longest is not None

    @property
    def finish_epochs(self) -> int:
        """The recovery epochs of a finish trial; at most these where rungs may take too long."""
        return self.finish_epochs_after(self.early_stopping.rungs[-1])

    def finish_epochs_after(self, reached: int) -> int:
        """The recovery epochs of a finish trial where no search trial got further than that."""
        deepest = reached if self.limits_rungs else self.early_stopping.rungs[-1]
        return self.finish.epochs or max(1, 2 * deepest)


def _calibrated_by_extremes(techniques: Any) -> Any:
    """Return techniques with the explicit ``minmax`` observer that older specs implied."""
    if not isinstance(techniques, dict) or not isinstance(techniques.get(_QUANTIZATION), dict):
        return techniques
    asked = {"activation_observer": "minmax"} | techniques[_QUANTIZATION]
    return techniques | {_QUANTIZATION: asked}
