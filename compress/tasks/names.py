"""The names of the tasks that a network may be for. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

TaskName: TypeAlias = Literal["image_classification", "classification"]
"""What datasets and jobs may say; ``compress.tasks.registry`` has a task for every name."""
FIRST_TASK: TaskName = "image_classification"
"""That of all documents which are older than the field."""
EXAMPLES: Mapping[TaskName, str] = {
    "image_classification": "images",
    "classification": "examples",
}
"""What people call the examples of a task."""
