"""Name the commands that make sense after a verb, quoted for a shell."""

from __future__ import annotations

import shlex

from pocketeye.models.reference import ArtifactFolder, Run, resolve


def onwards(model: str, data: str | None = None) -> list[str]:
    """Return what comes after a network was used: time an artefact, export a run, nothing for a name.

    Args:
        data: what an export should be proved on, where that is known.
    """
    named, quoted = resolve(model), shlex.quote(model)
    if isinstance(named, ArtifactFolder):
        return [f"pocketeye bench {quoted}"]
    shown = "" if data is None else f" --data {shlex.quote(data)}"
    return [f"pocketeye export {quoted}{shown}"] if isinstance(named, Run) else []


def look_with(model: str, options: str = "") -> str:
    """Return the command that predicts with a network, for an image of the user's."""
    return f"pocketeye predict {shlex.quote(model)} IMAGE{options}"
