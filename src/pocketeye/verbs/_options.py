"""Options that belong to some kinds of networks only."""

from __future__ import annotations

from typing import Any

from pocketeye.errors import InvalidValue


def refuse(what: str, **options: Any) -> None:
    """Raise InvalidValue for an option that was given and means nothing here.

    An option that was left out is None, and a flag that is off is False; every other value, zero too,
    was given.

    Args:
        what: to what it means nothing: ``a classifier``.
        options: by the names of the arguments.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            flag = "--" + name.replace("_", "-")
            raise InvalidValue(f"{flag} means nothing to {what}: leave it out")
