"""The names of the tasks that a network may be for. Torch-free."""

from __future__ import annotations

from typing import Literal, TypeAlias

TaskName: TypeAlias = Literal["image_classification"]
"""What datasets and jobs may say; ``compress.tasks.registry`` has a task for every name."""
