"""Prompts as they are written on the command line: ``x,y``, ``x0,y0,x1,y1``, ``2:x,y@50``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pocketeye.errors import InvalidValue
from pocketeye.tracking import Session, TrackedFrame

_OBJECT = re.compile(r"(\d+):([^@:]+)(?:@(\d+))?")


@dataclass(slots=True)
class FramePrompt:
    """What is said of one object in one frame."""

    object_id: int
    frame: int
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, ...] | None = None

    def add_to(self, session: Session) -> TrackedFrame:
        return session.add(
            self.object_id,
            frame=self.frame,
            points=self.points or None,
            labels=self.labels or None,
            box=self.box,
        )


def parse_prompts(
    point: Sequence[str],
    background: Sequence[str],
    box: str | None,
    frame: int,
    objects: Iterable[str],
) -> list[FramePrompt]:
    """Prompts by frame, then by object; those without a number are of object 1, in ``frame``.

    Raises:
        InvalidValue: not written like that, or no prompt at all.
    """  # fmt: skip
    found: dict[tuple[int, int], FramePrompt] = {}

    def of(object_id: int, at: int) -> FramePrompt:
        return found.setdefault((at, object_id), FramePrompt(object_id, at))

    for text, label in [*((p, 1) for p in point), *((p, 0) for p in background)]:
        _add(of(1, frame), _numbers(text, (2,), "a point is x,y"), label)
    if box is not None:
        _add(of(1, frame), _numbers(box, (4,), "a box is x0,y0,x1,y1"), 1)
    for text in objects:
        match = _OBJECT.fullmatch(text.replace(" ", ""))
        form = "an object is ID:x,y@FRAME, or ID:x0,y0,x1,y1@FRAME for a box"
        if match is None:
            raise InvalidValue(f"{form}, got {text!r}")
        at = frame if match[3] is None else int(match[3])
        _add(of(int(match[1]), at), _numbers(match[2], (2, 4), form), 1)
    if not found:
        raise InvalidValue(
            "nothing says what to track: point at it with --point x,y, --box x0,y0,x1,y1 or "
            "--object ID:x,y@FRAME"
        )
    return [found[key] for key in sorted(found)]


def _add(prompt: FramePrompt, numbers: tuple[float, ...], label: int) -> None:
    if len(numbers) == 4:
        if prompt.box is not None:
            raise InvalidValue(f"object {prompt.object_id} has two boxes in frame {prompt.frame}")
        prompt.box = numbers
    else:
        prompt.points.append((numbers[0], numbers[1]))
        prompt.labels.append(label)


def _numbers(text: str, counts: tuple[int, ...], form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        raise InvalidValue(f"{form}, got {text!r}")
    return numbers
