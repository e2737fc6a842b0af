"""Open a set of label maps for a network that knows its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pocketeye.data.semantic.class_maps import FILE, KNOWN
from pocketeye.data.semantic.samples import SemanticSet, load_semantic, semantic_layout


def load_maps(
    data: str, split: str | None, classes: Path | None, names: Sequence[str]
) -> SemanticSet:
    """Open a set of label maps; where it does not say what its masks mean, ask the network's classes.

    Args:
        classes: what the user says that the masks mean.
        names: of the network's classes; none where there is no network.

    Raises:
        MissingFile, InvalidValue: see :func:`pocketeye.data.semantic.samples.load_semantic`.
    """
    root = Path(data)
    known: str | Path | None = classes
    if classes is None and names and root.is_dir():
        # A set that says itself what its masks mean is not overruled.
        bare = semantic_layout(root) == "folders" and not (root / FILE).is_file()
        fitting = [name for name, known_map in KNOWN.items() if known_map.names == tuple(names)]
        known = fitting[0] if bare and len(fitting) == 1 else None
    return load_semantic(data, split, classes=known)
