"""``python -m benchmarks [NAME ...]``: run all benchmarks, or those named."""

from __future__ import annotations

import argparse

from benchmarks.cluster import (
    contract,
    disturbed,
    gigabyte,
    listing,
    looks,
    pictures,
    sample_job,
    start,
    store_latency,
    waiting_workers,
)
from benchmarks.engine import (
    busy_latency,
    export_time,
    latency_ranking,
    palettes,
    portable_peers,
    resnet20,
    resnet20_flips,
    resnet20_peers,
    resnet20_trained,
    runtimes,
    supernet,
    target_bytes,
)
from benchmarks.engine.imports import table as imports
from benchmarks.search import allotted_bytes, early_stopping, forecasts

BENCHMARKS = {
    "start": start.main,
    "store_latency": store_latency.main,
    "listing": listing.main,
    "looks": looks.main,
    "waiting_workers": waiting_workers.main,
    "disturbed": disturbed.main,
    "pictures": pictures.main,
    "sample_job": sample_job.main,
    "forecasts": forecasts.main,
    "resnet20": resnet20.main,
    "resnet20_peers": resnet20_peers.main,
    "portable_peers": portable_peers.main,
    "resnet20_flips": resnet20_flips.main,
    "target_bytes": target_bytes.main,
    "runtimes": runtimes.main,
    "allotted_bytes": allotted_bytes.main,
    "latency_ranking": latency_ranking.main,
    "busy_latency": busy_latency.main,
    "supernet": supernet.main,
    "imports": imports.main,
    "export_time": export_time.main,
    "early_stopping": early_stopping.main,
}
LONG = {
    "palettes": palettes.main,
    "resnet20_trained": resnet20_trained.main,
    "contract": contract.main,
    "gigabyte": gigabyte.main,
}
"""They take long: hours of training, thousands of requests, gigabytes. Only if they are named."""


def main() -> None:
    """Run the named benchmarks in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS, *LONG], default=[])
    for name in parser.parse_args().names or BENCHMARKS:
        print(f"== {name}")
        (BENCHMARKS | LONG)[name]()


if __name__ == "__main__":
    main()
