"""Run the compose file under an engine, kill containers and change versions in a job's middle.

``python -m benchmarks.cluster.compose --before OLD`` builds ``featherweight:local`` from this
checkout (and from OLD, a checkout of the version before; without it upgrades are left out). Each
drill has a project and volumes of its own, which are gone afterwards. Another engine than this
machine's is reached by its usual settings (DOCKER_HOST), another compose by ``--compose``.
"""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from pathlib import Path

from benchmarks.cluster.compose.drills import DRILLS, OF_TWO_VERSIONS, Tools
from benchmarks.cluster.compose.stack import Site, Stack
from benchmarks.record import ROOT, recorded
from benchmarks.same_as.house import end_with_children
from featherweight import samples


def main() -> None:
    """Run the drills that were asked for, one after the other."""
    end_with_children()
    asked = _read()
    question = "Does a job survive killed containers and an upgrade under the compose file?"
    with recorded("cluster/compose", question) as table:
        for name in _chosen(asked):
            with tempfile.TemporaryDirectory() as folder:
                said = DRILLS[name](_tools(asked, Path(folder)))
            print(f"{name}: {said}", flush=True)
            table.add({"drill": name, "outcome": said})


def _read() -> argparse.Namespace:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--before", type=Path, help="a checkout of the version before")
    compose = os.environ.get("COMPOSE", "docker compose")
    parser.add_argument("--compose", default=compose, help="command, here %(default)r")
    parser.add_argument("--only", nargs="+", choices=list(DRILLS))
    asked = parser.parse_args()
    if not asked.before and OF_TWO_VERSIONS & set(asked.only or ()):
        parser.error("an upgrade needs --before, a checkout of the version before")
    return asked


def _chosen(asked: argparse.Namespace) -> list[str]:
    names = [name for name in DRILLS if asked.only is None or name in asked.only]
    return [name for name in names if asked.before or name not in OF_TWO_VERSIONS]


def _tools(asked: argparse.Namespace, folder: Path) -> Tools:
    site, compose = Site(), shlex.split(asked.compose)
    data = folder / "digits.npz"
    samples.write("digits", data)
    before = Stack(asked.before, site, compose=compose) if asked.before else None
    now = Stack(ROOT, site, compose=compose)
    return Tools(now=now, before=before, site=site, data=data, folder=folder)


if __name__ == "__main__":
    main()
