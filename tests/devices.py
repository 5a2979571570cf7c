"""Where tests compute: where a worker on this machine would, on a GPU if there is one."""

from __future__ import annotations

from compress.training.context import choose_device

DEVICE = choose_device()
