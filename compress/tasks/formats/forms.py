"""The forms of the examples and of the targets of every task. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from compress.tasks.formats.example_forms import ArrayForm, ExampleForm, ImageForm
from compress.tasks.formats.id_form import IdForm, UnlabelledForm
from compress.tasks.formats.tag_targets import TagTargets
from compress.tasks.formats.targets import (
    ClassTargets,
    LabelTargets,
    NoTargets,
    NumberTargets,
    TargetForm,
)
from compress.tasks.names import TaskName

FORMS: Mapping[TaskName, ExampleForm] = {
    form.task: form
    for form in (
        ImageForm(),
        ArrayForm(),
        ArrayForm("multilabel"),
        ArrayForm("regression"),
        UnlabelledForm(),
        IdForm("text_classification"),
        IdForm("text_matching"),
        IdForm("sequence_labelling"),
    )
}
TARGETS: Mapping[TaskName, TargetForm] = {
    form.task: form
    for form in (
        ClassTargets("image_classification"),
        ClassTargets("classification"),
        LabelTargets("multilabel"),
        NumberTargets("regression"),
        ClassTargets("text_classification"),
        ClassTargets("text_matching"),
        TagTargets("sequence_labelling"),
        NoTargets("unlabelled"),
    )
}
