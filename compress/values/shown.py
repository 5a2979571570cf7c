"""Shorten long lists of names. Torch-free."""

_NAMES_SHOWN = 3


def some(names: list[str]) -> str:
    """Return the first names, each cut to 80 characters, and how many more there are."""
    shown = ", ".join(name[:80] for name in names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
