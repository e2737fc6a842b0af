"""Options that belong to one task of a verb."""

from __future__ import annotations

from typing import Any

from pocketeye.errors import InvalidValue


def refuse(task: str, **options: Any) -> None:
    """Raise InvalidValue for an option of the other tasks that was given."""
    for name, value in options.items():
        if value:
            flag = "--" + name.replace("_", "-")
            raise InvalidValue(f"{flag} means nothing to --task {task}: leave it out")
