"""What this device is, in words: the board, its CPU, its system."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

_BOARDS = (Path("/proc/device-tree/model"), Path("/sys/class/dmi/id/product_name"))
_CPU_INFO = Path("/proc/cpuinfo")
_MOST = 200
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_ARM = "0x41"
_ARM_CORES: Mapping[str, str] = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xc08": "Cortex-A8",
    "0xc09": "Cortex-A9",
    "0xc0f": "Cortex-A15",
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2",
}
"""Parts of the implementer Arm: on these CPUs Linux gives numbers and no name."""


def line(text: str, *, most: int = _MOST) -> str:
    """Return text as one printable line of at most that many characters."""
    return _UNPRINTABLE.sub(" ", text).strip()[:most]


def device() -> str:
    """Return the name of the board or machine; of the architecture if nothing has one."""
    found = (line(_read(path)) for path in _BOARDS)
    return next(filter(None, found), line(platform.machine()) or "unknown")


def cpu(cpu_info: Path = _CPU_INFO) -> str:
    """Return the model of the CPU, or the kinds of its cores."""
    text = _read(cpu_info)
    named = [line(name) for name in _fields(text, "model name")]
    cores = named[:1] or _cores(text)
    return line(", ".join(cores) or platform.processor() or platform.machine()) or "unknown"


def system() -> str:
    """Return the operating system, its release, and the architecture."""
    return line(" ".join((platform.system(), platform.release(), platform.machine()))) or "unknown"


def _cores(text: str) -> list[str]:
    makers, parts = _fields(text, "CPU implementer"), _fields(text, "CPU part")
    counts = Counter(zip(makers, parts, strict=False))
    return [f"{count} x {_core(maker, part)}" for (maker, part), count in counts.items()]


def _core(maker: str, part: str) -> str:
    name = _ARM_CORES.get(part) if maker == _ARM else None
    return f"Arm {name}" if name else f"implementer {maker} part {part}"


def _fields(text: str, name: str) -> list[str]:
    pairs = (one.partition(":") for one in text.splitlines())
    return [value.strip() for key, _, value in pairs if key.strip() == name]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
