"""Read prompts as a command gives them: ``x,y``, ``x,y:0``, ``x0,y0,x1,y1``, ``2:x,y@50``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from pocketeye.errors import InvalidValue
from pocketeye.tracking import Session, TrackedFrame

# ID:PLACE, with @FRAME where it is not the frame of --frame.
_OBJECT = re.compile(r"(\d+):([^@]+)(?:@(\d+))?")


@dataclass(slots=True)
class FramePrompt:
    """Hold the prompts that a user gives for one object in one frame.

    Attributes:
        object_id: the user's number, from 1 up.
        frame: number of the frame, from 0 up.
        points: (x, y) in pixels of the video.
        labels: of each point: 1 on the object, 0 beside it.
        box: (x0, y0, x1, y1) in pixels of the video, or None.
    """

    object_id: int
    frame: int
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, ...] | None = None

    def words(self) -> list[str]:
        """Return one text per prompt, written as the command line takes it with ``--object``."""
        places = [",".join(f"{number:g}" for number in self.box)] if self.box else []
        for (x, y), label in zip(self.points, self.labels, strict=True):
            places.append(f"{x:g},{y:g}" + ("" if label else ":0"))
        return [f"{self.object_id}:{place}@{self.frame}" for place in places]

    def add_to(self, session: Session) -> TrackedFrame:
        """Give the prompts to a session and return what it then knows of the frame."""
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
    """Read the prompts of a command, sorted by frame, then by object.

    Args:
        point: texts ``x,y`` or ``x,y:0``, for object 1 in ``frame``.
        box: text ``x0,y0,x1,y1``, for object 1 in ``frame``, or None.
        frame: the frame of prompts that name none.
        objects: texts ``ID:PLACE`` or ``ID:PLACE@FRAME``.

    Raises:
        InvalidValue: a text is not written like that, or there is no prompt at all.
    """
    found: dict[tuple[int, int], FramePrompt] = {}

    def of(object_id: int, at: int) -> FramePrompt:
        # Several points of one object in one frame are one prompt: the network sees them together.
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
    # Frames in order: the session is prompted while it runs, and cannot go back.
    return [found[key] for key in sorted(found)]


def _add(prompt: FramePrompt, text: str, counts: tuple[int, ...], form: str) -> None:
    place, colon, sign = text.partition(":")
    try:
        numbers = tuple(float(part) for part in place.split(","))
    except ValueError:
        numbers = ()
    # Four numbers are a box and two a point; "counts" says which of them this option takes.
    is_box = len(numbers) == 4
    if len(numbers) not in counts or (colon and (is_box or sign not in ("0", "1"))):
        # A sign belongs to a point alone: a box is always on the object.
        raise InvalidValue(f"{form}, got {text!r}")
    if not is_box:
        prompt.points.append((numbers[0], numbers[1]))
        prompt.labels.append(int(sign or 1))
    elif prompt.box is None:
        prompt.box = numbers
    else:
        raise InvalidValue(f"object {prompt.object_id} has two boxes in frame {prompt.frame}")
