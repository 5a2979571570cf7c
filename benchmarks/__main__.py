"""``python -m benchmarks [NAME ...]``: run all benchmarks, or those named."""

from __future__ import annotations

import argparse

from benchmarks import listing, resnet20, sample_job, start, store_latency, supernet

BENCHMARKS = {
    "start": start.main,
    "store_latency": store_latency.main,
    "listing": listing.main,
    "sample_job": sample_job.main,
    "resnet20": resnet20.main,
    "supernet": supernet.main,
}


def main() -> None:
    """Run the named benchmarks in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], default=[])
    for name in parser.parse_args().names or BENCHMARKS:
        print(f"== {name}")
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
