"""Read and write the JSON beside weights or graphs that says what they are: base class and reader.

Each kind of network has a frozen dataclass derived from :class:`Description`. The reader holds every
field of a file to the type in that class, so whoever has a description need not check it again.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.task import CLASSIFY, TASKS, TRACK, Task, task_named
from pocketeye.runs import MODEL, write_atomic

# The task of files that do not name one; files of other schemas always do.
_USUAL_TASK = {"pocketeye.model/1": CLASSIFY, "pocketeye.tracker/1": TRACK}
# All schemas, so that a file of another kind is told from a damaged one.
_SCHEMAS = (*_USUAL_TASK, "pocketeye.dense/1", "pocketeye.dense-artifact/1")


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
        return write_atomic(folder / self.FILE, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the file in ``folder``.

        Raises:
            MissingFile: it is not there.
            InvalidValue: it is damaged or of another kind; the sentence names the file and the field.
        """
        path = folder / cls.FILE
        if not path.is_file():
            raise MissingFile(f"{folder} is not {cls.WHAT}: {cls.FILE} is missing")
        try:
            return cls(**cls._checked(read_json_object(path)))
        except ValueError as error:  # InvalidValue is one too
            raise InvalidValue(f"{path} does not describe {cls.WHAT}: {error}") from error

    @classmethod
    def _checked(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields in ``data`` with their types; raise ValueError for what does not fit."""
        schema = data.pop("schema", None)
        if schema != cls.SCHEMA:
            raise ValueError(f"its schema is {schema!r}, not {cls.SCHEMA!r}")
        hints, known = get_type_hints(cls), {field.name: field for field in fields(cls)}
        # Refused, not passed over: a misspelt field would silently leave its default in force.
        if foreign := sorted(data.keys() - known.keys()):
            raise ValueError(f"it has the field {foreign[0]!r}, which is not known")
        for name, field in known.items():
            if name not in data and field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"the field {name!r} is missing")
        return {name: _as(value, hints[name], name, cls.TASKS) for name, value in data.items()}


def _as(value: Any, hint: Any, name: str, tasks: tuple[Task, ...]) -> Any:
    """Return a JSON value as the type of the field ``name``; raise ValueError where it is none."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if hint is Task:
        return task_named(str(value), tasks)
    if NoneType in args:
        [inner] = (arg for arg in args if arg is not NoneType)
        return None if value is None else _as(value, inner, name, tasks)
    if origin is Literal:
        fits, wanted = value in args, f"one of {', '.join(map(str, args))}"
    elif origin is tuple:
        length = None if args[-1] is Ellipsis else len(args)
        if isinstance(value, list) and length in (None, len(value)):
            return tuple(_as(each, args[0], name, tasks) for each in value)
        fits, wanted = False, f"a list of {length}" if length else "a list"
    else:
        kind = origin or hint
        # Some programs write 1.0 as 1 in JSON. True and false are no numbers, although Python says so.
        kinds = (int, float) if kind is float else (kind,)
        fits = isinstance(value, kinds) and (kind is bool or not isinstance(value, bool))
        wanted = {str: "text", int: "a whole number", float: "a number", dict: "an object"}.get(
            kind, kind.__name__
        )
    if not fits:
        raise ValueError(f"the field {name!r} should be {wanted}, and is {value!r:.60}")
    return value


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        ValueError: the file cannot be read, is no JSON, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"it is damaged ({error})") from error
    if not isinstance(data, dict):
        raise ValueError("it holds no JSON object")
    return data


def read_fields(path: Path, **hints: Any) -> dict[str, Any]:
    """Return some fields of a description, for those who need no more of it than that.

    Args:
        hints: the type of each field.

    Raises:
        InvalidValue: the file is damaged, or a field is missing or of another type.
    """
    try:
        data = read_json_object(path)
        for name in hints.keys() - data.keys():
            raise ValueError(f"the field {name!r} is missing")
        return {name: _as(data[name], hint, name, ()) for name, hint in hints.items()}
    except ValueError as error:
        raise InvalidValue(f"{path} does not describe a network: {error}") from error


def task_in(path: Path) -> Task:
    """Return the task of the network that a description file is about, whatever its kind.

    Raises:
        InvalidValue: the file is damaged, or no description of pocketeye.
    """
    try:
        data = read_json_object(path)
        schema = data.get("schema")
        if schema not in _SCHEMAS:
            raise ValueError(f"its schema is {schema!r}, not one of {', '.join(_SCHEMAS)}")
        named = data.get("task")
        return _USUAL_TASK[schema] if named is None else task_named(str(named))
    except KeyError:
        raise InvalidValue(f"{path} describes no network: the field 'task' is missing") from None
    except ValueError as error:
        raise InvalidValue(f"{path} describes no network of pocketeye: {error}") from error
