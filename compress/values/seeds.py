"""Derive independent random streams from one seed and the purpose of each. Torch-free.

Sums such as ``seed + layer + step`` give the stream of one layer to its neighbour a step later. A
hash of the same numbers does not.
"""

from __future__ import annotations

import hashlib

_BYTES = 8


def derive(seed: int, *purpose: int | str) -> int:
    """Return a seed for one purpose, from 0 to ``2**63 - 1``, the same one every time.

    Another seed, word or number gives an unrelated stream.
    """
    said = repr((seed, *purpose)).encode()
    digest = hashlib.blake2b(said, digest_size=_BYTES).digest()
    return int.from_bytes(digest, "big") >> 1
