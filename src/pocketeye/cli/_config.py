"""Read options from a YAML file: names and values as on the command line, which wins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Dict

from pocketeye.errors import InvalidType, InvalidValue, UserError, nearest
from pocketeye.reading import read_yaml, require_file

ConfigSource = Callable[[App, tuple[str, ...], ArgumentCollection], None]


def load_config(path: Path) -> ConfigSource:
    """Read ``path`` for cyclopts, which asks for the options of the verb it is about to call.

    Raises:
        MissingFile, InvalidValue, InvalidType: not there, not YAML, or not a mapping.
    """
    require_file(path, f"no configuration file at {path}")
    data = read_yaml(path)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise InvalidType(f"{path} must hold 'option: value' lines, not a {type(data).__name__}")
    options = {str(k): v for k, v in data.items()}

    def fill(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        # Below the names of verb and task, because cyclopts drops top-level keys that are also a verb.
        nested: dict[str, Any] = options
        for word in reversed(commands):
            nested = {word: nested}
        if commands:
            Dict(nested, source=str(path))(app, commands, arguments)

    return fill


def unknown_key(keyword: str, source: str, arguments: ArgumentCollection) -> UserError:
    """Make the error for a YAML key that is no option; ``keyword`` as cyclopts writes it, ``[a][b]``."""
    got = keyword.strip("[]").replace("][", ".")
    # Names as in YAML, where hyphens are underscores.
    allowed = sorted({_as_key(name) for a in arguments if a.parse for name in a.names})
    close = nearest(got.replace("-", "_"), allowed)
    guess = f" Did you mean {close!r}?" if close else ""
    return InvalidValue(f"unknown key {got!r} in {source}.{guess} ({', '.join(allowed)})")


def _as_key(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
