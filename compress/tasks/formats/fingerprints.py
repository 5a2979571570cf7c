"""Find examples of a dataset that are equal byte for byte, by their digests. Torch-free.

Legend: N examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.values.measurement import Split

_BYTES = 8
"""Of a digest: two different ones of ten million examples are equal once in 360,000 data sets."""


def of_examples(archive: npz.Archive, name: str) -> NDArray[np.uint64]:
    """Return one number per example ``(N,)``, reading about a megabyte at a time."""
    header = archive.arrays[name]
    size, digests = header.num_bytes // header.shape[0], bytearray()
    digest, left = hashlib.blake2b(digest_size=_BYTES), size
    for chunk in archive.chunks(name):
        unread = memoryview(chunk.tobytes())
        while unread:
            digest.update(unread[:left])
            left, unread = left - len(unread[:left]), unread[left:]
            if left == 0:
                digests += digest.digest()
                digest, left = hashlib.blake2b(digest_size=_BYTES), size
    return np.frombuffer(digests, np.uint64)


def warnings(
    digests: Mapping[Split, NDArray[np.uint64]], examples: str, *, is_held_out: bool = False
) -> Iterator[str]:
    """Warn about splits in which all examples are equal, and about splits that share some.

    ``is_held_out`` says that validation is a part of what the file calls train.
    """
    for split, found_N in digests.items():
        if len(found_N) > 1 and (found_N == found_N[0]).all():
            yield (
                f"all {len(found_N):,} {examples} of {split} are the same: nothing can be learned "
                f"from them or told by them; check how x_{split} was written"
            )
    for split, earlier in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if split in digests and earlier in digests:
            way_out = f"leave them out of {split}"
            if is_held_out and split == "validation":
                way_out = "leave copies out of train, of which validation is a fifth"
            yield from _shared(digests, split, earlier, examples, way_out)  # pyright: ignore[reportArgumentType]


def _shared(
    digests: Mapping[Split, NDArray[np.uint64]],
    split: Split,
    earlier: Split,
    examples: str,
    way_out: str,
) -> Iterator[str]:
    count, total = int(np.isin(digests[split], digests[earlier]).sum()), len(digests[split])
    if count:
        yield (
            f"{count:,} of {total:,} {examples} of {split} are in {earlier}, too: accuracy on them "
            f"says nothing of {examples} that are new; {way_out}"
        )
