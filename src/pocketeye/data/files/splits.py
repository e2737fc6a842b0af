"""Names of splits, and what else the same one is called."""

from __future__ import annotations

_NAMES = (("train", "training"), ("val", "valid", "validation"), ("test", "testing"))


def other_names(split: str | None) -> tuple[str, ...]:
    """``val`` is also called ``valid`` and ``validation``; a name of nobody's has no others."""
    for names in _NAMES:
        if split in names:
            return tuple(name for name in names if name != split)
    return ()


def spellings(split: str) -> tuple[str, ...]:
    """The name itself first, then what else it is called."""
    return (split, *other_names(split))


def splits_among(names: set[str]) -> tuple[str, ...]:
    """Which of ``names`` are splits: train, val, test, in this order."""
    return tuple(name for group in _NAMES for name in group if name in names)
