"""Linear algebra on one thread, for matrices of a few hundred rows.

More threads gain nothing there. Next to a worker that uses the same cores they busy-wait for each
other, and an ask takes five to twenty-five times as long. A sum on one thread is also the same on
every machine, so a proposal does not depend on the number of cores.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Limit every BLAS library of the process to one thread within the block."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    # SciPy brings a library of its own, which is only found once it is loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
