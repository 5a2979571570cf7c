"""The page "your own network in ten minutes" is followed word by word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from featherweight.client.client import Client
from featherweight.errors import ServiceUnavailable
from featherweight.system import lifeline
from tests.running import QUICK, ROOT, environment, free_port, until

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "ten_minutes.md").read_text()
PORT = "8000"
"""That of the page, which gives way to a free one."""
STAYS = "featherweight up\n"
"""The command that has a terminal of its own."""


@dataclass(frozen=True)
class Block:
    """What somebody copies from the page, and where to."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the first line names."""
        named = re.match(r"# (\w+\.\w+)\n", self.text)
        return named and named[1]

    @property
    def line(self) -> str:
        """What a shell does with it."""
        if self.file is not None:
            return f"cat > {self.file} <<'COPIED'\n{self.text}COPIED\n"
        return self.text if self.language == "sh" else f"python - <<'COPIED'\n{self.text}COPIED\n"


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"```(\w+)\n(.*?)```\n", page, re.DOTALL)]


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """The page's first terminal."""
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-ec", f"exec {STAYS.strip()} --port {port}"],
            cwd=folder,
            env=reader(port) | {lifeline.PARENT: str(os.getpid())},
            stdout=log,
            stderr=log,
        )
    try:
        with Client(f"http://127.0.0.1:{port}", retry=QUICK) as client:
            until(lambda: answers(client), seconds=180)
        yield
    finally:
        # Who was started in the background ignores Ctrl-C.
        process.terminate()
        process.wait(60)


def answers(client: Client) -> bool:
    try:
        next(client.jobs(), None)
    except ServiceUnavailable:
        return False
    return True


def reader(port: int) -> dict[str, str]:
    """The environment of somebody who has installed it; commands find the port."""
    commands = Path(sys.executable).parent
    found = environment(FEATHERWEIGHT_URL=f"http://127.0.0.1:{port}")
    return found | {"PATH": f"{commands}{os.pathsep}{found['PATH']}"}


def test_the_page_leads_from_a_module_and_pictures_to_a_file_that_reads_them(tmp_path):
    copied = blocks(PAGE)
    assert [block.text for block in copied].count(STAYS) == 1
    port = free_port()
    lines = "\n".join(block.line for block in copied if block.text != STAYS)
    with serving(tmp_path, port):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines.replace(f":{PORT}", f":{port}")],
            cwd=tmp_path,
            env=reader(port),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    told = f"{done.stdout}\n{done.stderr}\n{(tmp_path / 'up.log').read_text()}"
    assert done.returncode == 0, told
    assert "Traceback" not in told
    assert "0 (digit-0)" in done.stdout
    assert list((tmp_path / "front").glob("*.onnx"))
    size, right = re.findall(r": ([\d,]+) bytes, ([\d.]+)% right$", done.stdout, re.MULTILINE)[0]
    assert int(size.replace(",", "")) < (tmp_path / "mynet.pt").stat().st_size
    assert float(right) > 80
