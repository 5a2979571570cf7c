"""The words that wrappers put before the names of a network's tensors when it is saved."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "state_dict.")
"""Of DataParallel, of torch.compile, and of what Lightning modules call their network."""
_MOST_DEEP = 4
_COUNTER = ".num_batches_tracked"


class KnownNames(NamedTuple):
    """The names that a family's tensors have, one set for each layout that is published."""

    layouts: tuple[frozenset[str], ...]

    def fit(self, names: Collection[str]) -> bool:
        """Whether these are all the names of a layout; counters of batches do not matter."""
        weights = {name for name in names if not name.endswith(_COUNTER)}
        return weights in self.layouts


def wrappers(names: Collection[str], known: KnownNames) -> tuple[str, ...]:
    """Return what stands before every name, outermost first, if without it all names fit.

    Nothing is returned if they fit as they are, or fit in no way: then the refusal shows the names
    of the file.
    """
    found: list[str] = []
    bare = set(names)
    while not known.fit(bare):
        wrapper = next((one for one in _WRAPPERS if _all_begin(bare, one)), None)
        if wrapper is None or len(found) == _MOST_DEEP:
            return ()
        found.append(wrapper)
        bare = {name.removeprefix(wrapper) for name in bare}
    return tuple(found)


def _all_begin(names: Collection[str], wrapper: str) -> bool:
    return bool(names) and all(name.startswith(wrapper) for name in names)
