"""Linear algebra on one thread, for matrices of a few hundred rows.

More threads gain nothing there, and beside a worker that uses the same cores they wait for each
other in loops: an ask then takes five to twenty-five times as long. A sum on one thread is also the
same sum on every machine, so a proposal does not depend on the number of cores.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Every BLAS library of the process on one thread, until the block is left."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    # SciPy brings a library of its own, which is only found once it is loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
