"""Find images of a dataset that are equal byte for byte, by their digests. Torch-free.

Legend: N images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from compress.tasks.formats import npz
from compress.values.measurement import Split

_BYTES = 8
"""Of a digest: two different ones of ten million images are equal once in 360,000 data sets."""


def of_images(archive: npz.Archive, name: str) -> NDArray[np.uint64]:
    """Return one number per image ``(N,)``, reading about a megabyte at a time."""
    header = archive.arrays[name]
    size, digests = header.num_bytes // header.shape[0], bytearray()
    image, left = hashlib.blake2b(digest_size=_BYTES), size
    for chunk in archive.chunks(name):
        unread = memoryview(chunk.tobytes())
        while unread:
            image.update(unread[:left])
            left, unread = left - len(unread[:left]), unread[left:]
            if left == 0:
                digests += image.digest()
                image, left = hashlib.blake2b(digest_size=_BYTES), size
    return np.frombuffer(digests, np.uint64)


def warnings(digests: Mapping[Split, NDArray[np.uint64]]) -> Iterator[str]:
    """Warn about splits in which all images are equal, and about splits that share images."""
    for split, found_N in digests.items():
        if len(found_N) > 1 and (found_N == found_N[0]).all():
            yield (
                f"all {len(found_N):,} images of {split} are the same: nothing can be learned "
                f"from them or told by them; check how x_{split} was written"
            )
    for split, earlier in (("validation", "train"), ("test", "train"), ("test", "validation")):
        if split in digests and earlier in digests:
            yield from _shared(digests, split, earlier)  # pyright: ignore[reportArgumentType]


def _shared(
    digests: Mapping[Split, NDArray[np.uint64]], split: Split, earlier: Split
) -> Iterator[str]:
    count, images = int(np.isin(digests[split], digests[earlier]).sum()), len(digests[split])
    if count:
        yield (
            f"{count:,} of {images:,} images of {split} are in {earlier}, too: accuracy on them "
            f"says nothing of images that are new; leave them out of {split}"
        )
