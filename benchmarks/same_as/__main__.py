"""Whether two checkouts do the same.

``python -m benchmarks.same_as OLD NEW`` runs the same jobs with both and compares what they made.
``python -m benchmarks.same_as open OLD NEW`` lets the new one end a job that the old one began.
Each checkout needs a virtual environment ``.venv`` with its own ``featherweight``; for OLD or NEW a
snapshot of an earlier run (FOLDER/old.json) will do, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.same_as import comparing, expected, inputs, jobs, opened, snapshot
from benchmarks.same_as.house import end_with_children
from benchmarks.same_as.snapshot import Snapshot


def main() -> int:
    """Run what is asked for; 1 where something differs that nobody expected."""
    end_with_children()
    words = sys.argv[1:]
    is_opening = words[:1] == ["open"]
    asked = _read(words[is_opening:])
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="same-as-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"everything is kept in {folder}", flush=True)
    inputs.write_digits(folder / "digits.npz")
    return (_open if is_opening else _compare)(asked, folder)


def _read(words: list[str]) -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_as [open]", description=__doc__, formatter_class=form
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--folder", type=Path, help="empty or new; left out: a temporary one")
    names = [scenario.name for scenario in jobs.SCENARIOS]
    parser.add_argument("--only", choices=names, help="this job and those that it comes after")
    parser.add_argument("--expect", type=Path, help="JSON: 'TOPIC: PATH' (with *) to the reason")
    return parser.parse_args(words)


def _compare(asked: argparse.Namespace, folder: Path) -> int:
    wanted = expected.EXPECTED if asked.expect is None else expected.read(asked.expect)
    old, new = (_snapshot(name, asked, folder) for name in ("old", "new"))
    topics = comparing.compare(old, new, wanted)
    comparing.write(topics, folder / "same_as.json")
    print(comparing.report(topics))
    return _verdict(comparing.is_same(topics))


def _snapshot(name: str, asked: argparse.Namespace, folder: Path) -> Snapshot:
    source: Path = getattr(asked, name)
    if source.suffix == ".json":
        return snapshot.read(source)
    print(f"{name}: {source}", flush=True)
    began = time.monotonic()
    data = folder / "digits.npz"
    found = snapshot.of(source, folder / name, jobs.chosen(asked.only), data)
    snapshot.write(found, folder / f"{name}.json")
    print(f"  all of it: {time.monotonic() - began:.0f} s", flush=True)
    return found


def _open(asked: argparse.Namespace, folder: Path) -> int:
    checks = opened.check(asked.old, asked.new, folder, folder / "digits.npz")
    print("\n".join(str(check) for check in checks))
    return _verdict(all(check.holds for check in checks))


def _verdict(is_good: bool) -> int:
    print("same" if is_good else "NOT the same")
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
