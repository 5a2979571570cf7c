"""End a process together with the one that started it, even if that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT = "FEATHERWEIGHT_PARENT_PID"
"""Environment variable with the id of the process that must not be outlived."""
_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 1.0


def die_with(parent: int) -> None:
    """Have this process killed when its parent process ``parent`` is gone."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    else:
        threading.Thread(target=_look_after, args=(parent,), daemon=True).start()
    # The parent may have died before the kernel knew that we wanted to know.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def die_with_named_parent() -> None:
    """Apply ``die_with`` to the process named in the environment, if any."""
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        die_with(int(parent))


def _look_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
