"""Runtimes of several versions, each in an environment of its own that is made once and kept.

    python -m tests.runtimes.environments

makes those of ``make proofs`` ahead, in ``var/runtimes``. Packages come from whatever index the
installer is set up with. A version that has no wheel for this Python is replaced by the oldest
newer one that has. ONNX Runtime for browsers is npm's, and runs under Node.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var" / "runtimes"
WEB = "onnxruntime-web"
_INSIDE = Path(__file__).with_name("inside.py")
_INSIDE_NODE = Path(__file__).with_name("inside.cjs")
_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A runtime of at least one version, and what it needs beside it.

    ``beside`` are lists of requirements, the first of which that can be installed is taken: old
    versions are built against NumPy 1, which newer Pythons do not have. Without a ``package`` it
    is the environment of these tests.
    """

    runtime: str
    version: str
    package: str | None = None
    beside: tuple[tuple[str, ...], ...] = (("numpy>=2",),)

    @property
    def name(self) -> str:
        """How it is called in folders and reports."""
        return f"{self.runtime} {self.version}"

    def command(self) -> list[str]:
        """Return what answers questions in it, and make it if it is not there.

        Raises RuntimeError if it cannot be installed.
        """
        if self.package is None:
            return [sys.executable, str(_INSIDE), self.runtime]
        folder = FOLDER / self.name.replace(" ", "-")
        whole = folder / "whole.json"
        asked = json.dumps([sys.version, self.package, self.version, self.beside])
        if not whole.exists() or whole.read_text() != asked:
            shutil.rmtree(folder, ignore_errors=True)
            (self._make_for_node if self.runtime == WEB else self._make)(folder)
            whole.write_text(asked)
        if self.runtime == WEB:
            return ["node", str(_INSIDE_NODE), str(folder), self.runtime]
        return [str(folder / "bin" / "python"), str(_INSIDE), self.runtime]

    def _make_for_node(self, folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(f"{self.name} is installed by npm, which is not here")
        folder.mkdir(parents=True)
        options = ("--silent", "--no-audit", "--no-fund", "--prefix", str(folder))
        _run(npm, "install", *options, f"{self.package}@{self.version}")

    def _make(self, folder: Path) -> None:
        _uv("venv", "--quiet", "--python", sys.executable, str(folder))
        oldest = f"{self.package}>={self.version}"
        failed = ""
        for beside in self.beside:
            try:
                return _uv(
                    *("pip", "install", "--quiet", "--python", str(folder)),
                    *("--only-binary", ":all:", "--resolution", "lowest-direct"),
                    *(oldest, *beside),
                )
            except subprocess.CalledProcessError as error:
                failed = error.stderr.strip()
        raise RuntimeError(f"{self.name} cannot be installed for Python {sys.version}: {failed}")


_OLD = (("numpy>=1.26,<2",), ("numpy>=2", "onnxruntime>=1.19"))


def _onnxruntime(version: str, *, is_old: bool = False) -> Environment:
    beside = {"beside": _OLD} if is_old else {}
    return Environment(runtime="onnxruntime", version=version, package="onnxruntime", **beside)


def _openvino(version: str) -> Environment:
    return Environment(
        runtime="openvino", version=version, package="openvino", beside=(("numpy>=1.26",),)
    )


LOCKED = Environment(runtime="onnxruntime", version=onnxruntime.__version__)
REFERENCE = Environment(runtime="onnx.reference", version="of the lock")
PROVEN = (
    _onnxruntime("1.15.1", is_old=True),
    _onnxruntime("1.18.1", is_old=True),
    _onnxruntime("1.21.1"),
    LOCKED,
    _openvino("2024.6.0"),
    REFERENCE,
)
"""The runtimes of ``make proofs``."""
MORE = (
    *(Environment(runtime=WEB, version=each, package=WEB) for each in ("1.20.1", "1.30.0")),
    *(_onnxruntime(version, is_old=True) for version in ("1.16.3", "1.17.3")),
    *(_onnxruntime(version) for version in ("1.19.2", "1.20.1", "1.22.1", "1.23.2")),
    *(_openvino(version) for version in ("2023.3.0", "2025.4.0", "2026.4.0")),
    Environment(
        runtime="opencv",
        version="5.0.0.93",
        package="opencv-python-headless",
        beside=(("numpy>=2",),),
    ),
)
"""More of them for ``make soak``."""


def _uv(*arguments: str) -> None:
    _run(str(Path(sys.executable).with_name("uv")), *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)


def made(environments: Sequence[Environment]) -> None:
    """Make all that are not there yet, and print what each holds."""
    for environment in environments:
        command = [*environment.command(), "version"]
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
        print(f"{environment.name}: {ran.stdout.strip()}", flush=True)  # noqa: T201


if __name__ == "__main__":
    made([*PROVEN, *(MORE if "--more" in sys.argv else ())])
