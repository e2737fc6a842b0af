"""Prompts as they are written on the command line: ``x,y``, ``x,y:0``, ``x0,y0,x1,y1``, ``2:x,y@50``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pocketeye.errors import InvalidValue
from pocketeye.tracking import Session, TrackedFrame

_OBJECT = re.compile(r"(\d+):([^@]+)(?:@(\d+))?")


@dataclass(slots=True)
class FramePrompt:
    """What is said of one object in one frame."""

    object_id: int
    frame: int
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, ...] | None = None

    def words(self) -> list[str]:
        """As it is written on the command line."""
        places = [",".join(f"{number:g}" for number in self.box)] if self.box else []
        for (x, y), label in zip(self.points, self.labels, strict=True):
            places.append(f"{x:g},{y:g}" + ("" if label else ":0"))
        return [f"{self.object_id}:{place}@{self.frame}" for place in places]

    def add_to(self, session: Session) -> TrackedFrame:
        return session.add(
            self.object_id,
            frame=self.frame,
            points=self.points or None,
            labels=self.labels or None,
            box=self.box,
        )


def parse_prompts(
    point: Sequence[str], box: str | None, frame: int, objects: Sequence[str]
) -> list[FramePrompt]:
    """Prompts by frame, then by object; those without a number are of object 1, in ``frame``.

    Raises:
        InvalidValue: not written like that, or no prompt at all.
    """
    found: dict[tuple[int, int], FramePrompt] = {}

    def of(object_id: int, at: int) -> FramePrompt:
        return found.setdefault((at, object_id), FramePrompt(object_id, at))

    for text in point:
        _add(of(1, frame), text, (2,), "a point is x,y, or x,y:0 beside the object")
    if box is not None:
        _add(of(1, frame), box, (4,), "a box is x0,y0,x1,y1")
    form = "an object is ID:x,y@FRAME, or ID:x0,y0,x1,y1@FRAME for a box"
    for text in objects:
        match = _OBJECT.fullmatch(text.replace(" ", ""))
        if match is None:
            raise InvalidValue(f"{form}, got {text!r}")
        at = frame if match[3] is None else int(match[3])
        _add(of(int(match[1]), at), match[2], (2, 4), form)
    if not found:
        raise InvalidValue(
            "nothing says what to track: point at it with --point x,y, --box x0,y0,x1,y1 or "
            "--object ID:x,y@FRAME"
        )
    return [found[key] for key in sorted(found)]


def _add(prompt: FramePrompt, text: str, counts: tuple[int, ...], form: str) -> None:
    place, colon, sign = text.partition(":")
    try:
        numbers = tuple(float(part) for part in place.split(","))
    except ValueError:
        numbers = ()
    is_box = len(numbers) == 4
    if len(numbers) not in counts or (colon and (is_box or sign not in ("0", "1"))):
        raise InvalidValue(f"{form}, got {text!r}")
    if not is_box:
        prompt.points.append((numbers[0], numbers[1]))
        prompt.labels.append(int(sign or 1))
    elif prompt.box is None:
        prompt.box = numbers
    else:
        raise InvalidValue(f"object {prompt.object_id} has two boxes in frame {prompt.frame}")
