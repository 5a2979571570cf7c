"""Schemathesis against a furnished service at length, from several seeds.

All operations, phases and checks (``tests/service/contract.py``); what counts is how many answers
were faults of the service (5xx) or not in the document: there must be none.
``FEATHERWEIGHT_CONTRACT_EXAMPLES`` and ``FEATHERWEIGHT_CONTRACT_SEEDS`` (as ``1,2,3``) say how
much.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.record import Table, keeps
from tests.service import contract

_EXAMPLES = int(os.environ.get("FEATHERWEIGHT_CONTRACT_EXAMPLES", "50"))
_SEEDS = tuple(map(int, os.environ.get("FEATHERWEIGHT_CONTRACT_SEEDS", "1,2,3").split(",")))


@keeps(
    "cluster/contract",
    "Does the service answer as its document says, asked at length?",
    seeds=_SEEDS,
)
def main(table: Table) -> None:
    """Run every seed; exits with a message where one of them found something."""
    failed = [seed for seed in _SEEDS if not _run(table, seed)]
    if failed:
        sys.exit(f"seeds {failed} found something")


def _run(table: Table, seed: int) -> bool:
    with (
        tempfile.TemporaryDirectory() as folder,
        contract.furnished(Path(folder)) as place,
    ):
        outcome = contract.run(place, examples=_EXAMPLES, seed=seed, asks_for_reasons=True)
    print(f"seed {seed}: status {outcome.status}, {outcome.seconds:.0f} s")
    table.add({"seed": seed, "status": outcome.status, "s": round(outcome.seconds)})
    print(outcome.summary if outcome.status == 0 else outcome.words)
    return outcome.status == 0
