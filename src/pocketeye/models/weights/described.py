"""Read and write the JSON beside weights or graphs that says what they are: base class and reader.

Each kind of network has a frozen dataclass derived from :class:`Description`. The reader holds every
field of a file to its annotation in that class (type, range, words), so whoever has a description need
not check it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pocketeye.errors import InvalidValue
from pocketeye.models.task import CLASSIFY, TASKS, TRACK, Task, task_named
from pocketeye.reading import BadField, Kind, Range, reading, require_file
from pocketeye.runs import MODEL, write_json

# The task of files that do not name one; files of other schemas always do.
_USUAL_TASK = {"pocketeye.model/1": CLASSIFY, "pocketeye.tracker/1": TRACK}
# All schemas, so that a file of another kind is told from a damaged one.
_SCHEMAS = (
    *_USUAL_TASK, "pocketeye.dense/1", "pocketeye.dense-artifact/1", "pocketeye.tracker-artifact/1",
)  # fmt: skip
_ANY = Kind(what="a description of a network")

Share = Annotated[float, Range(0.0, 1.0)]
"""A mean of the values 0 to 1 that a network sees."""
Spread = Annotated[float, Range(1e-6, 1e3)]
"""Their standard deviation, by which is divided."""


def require_length(name: str, values: Sequence[object], length: int, why: str) -> None:
    """Raise InvalidValue unless a list is as long as the field ``why`` says."""
    if len(values) != length:
        raise InvalidValue(f"{name} has {len(values)} entries, and {why} is {length}")


@dataclass(frozen=True, kw_only=True)
class Description:
    """Say what one must know of a saved network to use it; derive a frozen dataclass from it.

    Attributes:
        FILE: name of the file.
        SCHEMA: value of its key ``schema``.
        WHAT: what it describes, for messages.
        TASKS: those it may name.
    """

    FILE: ClassVar[str] = MODEL
    SCHEMA: ClassVar[str]
    WHAT: ClassVar[str]
    TASKS: ClassVar[tuple[Task, ...]] = tuple(TASKS.values())

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds: plain values, a task by its name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {k: v.name if isinstance(v, Task) else v for k, v in values.items()}
        return {"schema": self.SCHEMA, **plain}

    def save(self, folder: Path) -> Path:
        """Write the file into ``folder``.

        Raises:
            InvalidValue: the folder cannot be written.
        """
        return write_json(folder / self.FILE, self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file in ``folder``.

        Raises:
            MissingFile: it is not there.
            InvalidValue: it is damaged or of another kind; the sentence names the file and the field.
        """
        path = folder / cls.FILE
        require_file(path, f"{folder} is not {cls.WHAT}: {cls.FILE} is missing")
        kind = Kind(what=f"a description of {cls.WHAT}", schema=cls.SCHEMA)
        described = kind.load(
            cls, path, converters={Task: lambda name: task_named(str(name), cls.TASKS)}
        )
        with reading(path, kind.what):
            described.require_sound()
        return described

    def require_sound(self) -> None:
        """Raise InvalidValue where fields contradict each other; asked of what a file says."""


def read_fields(path: Path, /, **hints: Any) -> dict[str, Any]:
    """Return some fields of a description, for those who need no more of it than that.

    Args:
        hints: the type of each field.

    Raises:
        InvalidValue: the file is damaged, or a field is missing or of another type.
    """
    return _ANY.pick(path, **hints)


def task_in(path: Path) -> Task:
    """Return the task of the network that a description file is about, whatever its kind.

    Raises:
        InvalidValue: the file is damaged, or no description of pocketeye.
    """
    found = _ANY.pick(path, schema=Literal[_SCHEMAS], task=str | None)
    with reading(path, _ANY.what):
        if found["task"] is not None:
            return task_named(found["task"])
        if found["schema"] not in _USUAL_TASK:
            raise BadField("the field 'task' is missing")
        return _USUAL_TASK[found["schema"]]
