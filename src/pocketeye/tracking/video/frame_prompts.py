"""What is asked of a tracker, as it is written on the command line.

``x,y`` and ``x,y:0``, ``x0,y0,x1,y1``, ``2:x,y@50``; ``2@80`` for a removal, ``2=dog`` for a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.results import CompactMask, Result
from pocketeye.tracking.video.session import Session
from pocketeye.tracking.video.tracked import TrackedFrame

# ID:PLACE, with @FRAME where it is not the frame of --frame.
_OBJECT = re.compile(r"(\d+):([^@]+)(?:@(\d+))?")
_REMOVAL = re.compile(r"(\d+)@(\d+)")
_NAME = re.compile(r"(\d+)=(.+)", re.DOTALL)
_MOST_DIGITS = 9  # of an id or a frame: more frames than a year of video has


@dataclass(slots=True)
class FramePrompt:
    """Hold the prompts that a user gives for one object in one frame.

    Attributes:
        object_id: the user's number, from 1 up.
        frame: number of the frame, from 0 up.
        points: (x, y) in pixels of the video.
        labels: of each point: 1 on the object, 0 beside it.
        box: (x0, y0, x1, y1) in pixels of the video, or None.
        mask: of a file of labels, instead of all of these; it has no words on the command line.
    """

    object_id: int
    frame: int
    points: list[tuple[float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    box: tuple[float, ...] | None = None
    mask: CompactMask | None = None

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
            mask=self.mask,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Hold what is asked of one video.

    Attributes:
        prompts: by frame, then by object.
        removals: the frame from which an object is gone, by its id.
        names: of objects, by id; they need not all have one.
        start: first frame that is tracked.
        stop: the frame before which tracking stops; None: the video's end.
    """

    prompts: tuple[FramePrompt, ...] = ()
    removals: Mapping[int, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise InvalidValue(
                f"there are no frames from --start {self.start} up to --stop {self.stop}: frames "
                "count from 0, and the one to stop at is not tracked"
            )

    def with_found(self, found: Result, frame: int) -> Request:
        """Add the boxes of a detector as prompts in a frame, with their classes as names.

        Objects are numbered after those that are there, best score first; a name that was given wins.
        """
        assert found.boxes is not None  # set by Result
        first = max((prompt.object_id for prompt in self.prompts), default=0) + 1
        boxes = found.boxes.astype(float).tolist()
        new = [
            FramePrompt(first + i, frame, box=inside_frame(box, found.size))
            for i, box in enumerate(boxes)
        ]
        classes = dict(enumerate(found.labels or (), first))
        prompts = sorted((*self.prompts, *new), key=lambda prompt: (prompt.frame, prompt.object_id))
        return replace(self, prompts=tuple(prompts), names={**classes, **self.names})

    def with_prompts(self, prompts: Sequence[FramePrompt], names: Mapping[int, str]) -> Request:
        """Add prompts of a file of labels; what was given of the same object and frame wins."""
        given = {(prompt.frame, prompt.object_id) for prompt in self.prompts}
        new = [prompt for prompt in prompts if (prompt.frame, prompt.object_id) not in given]
        both = sorted((*self.prompts, *new), key=lambda prompt: (prompt.frame, prompt.object_id))
        return replace(self, prompts=tuple(both), names={**names, **self.names})

    def check(self, num_frames: int | None, name: str) -> None:
        """Check that the video has all frames that are named, and that every object is shown in time.

        Raises:
            InvalidValue: no prompt, a frame outside, an object that is removed before it is shown, or
                shown after it was removed.
        """
        if not self.prompts:
            raise InvalidValue(
                "nothing says what to track: point at it with --point x,y, --box x0,y0,x1,y1 or "
                "--object ID:x,y@FRAME, or let a detector find it with --detect"
            )
        if num_frames is not None:
            frames = f"its {num_frames} frames are 0 to {num_frames - 1}"
            last = max(self.start, *(prompt.frame for prompt in self.prompts))
            if last >= num_frames:
                why = "to prompt in" if last > self.start else "to start in"
                raise InvalidValue(f"{name} has no frame {last} {why}: {frames}")
            if self.stop is not None and self.stop > num_frames:
                raise InvalidValue(f"{name} ends before --stop {self.stop}: {frames}")
            late = max(self.removals.values(), default=0)
            if late >= num_frames:
                raise InvalidValue(f"{name} has no frame {late} to remove an object in: {frames}")
        for prompt in self.prompts:
            if prompt.frame < self.start or (self.stop is not None and prompt.frame >= self.stop):
                end = "the end" if self.stop is None else f"{self.stop - 1}"
                raise InvalidValue(
                    f"object {prompt.object_id} is shown in frame {prompt.frame}, but frames "
                    f"{self.start} to {end} are tracked: show it in one of these"
                )
        self._check_objects()

    def _check_objects(self) -> None:
        shown: dict[int, list[int]] = {}
        for prompt in self.prompts:
            shown.setdefault(prompt.object_id, []).append(prompt.frame)
        for option, ids in (("--remove", self.removals), ("--name", self.names)):
            for object_id in ids:
                if object_id not in shown:
                    there = ", ".join(map(str, shown))
                    raise InvalidValue(
                        f"{option} names object {object_id}, but only {there} "
                        f"{'is' if len(shown) == 1 else 'are'} shown"
                    )
        for object_id, frame in self.removals.items():
            first, last = min(shown[object_id]), max(shown[object_id])
            if frame <= first:
                raise InvalidValue(
                    f"object {object_id} is removed in frame {frame}, but first shown in {first}"
                )
            if last >= frame:
                raise InvalidValue(
                    f"object {object_id} is removed in frame {frame} and shown again in {last}: give "
                    "it another id there"
                )

    def words(self) -> list[str]:
        """Return the options that ask for the same on the command line."""
        words = []
        for prompt in self.prompts:
            for place in prompt.words():
                words += ["--object", place]
        for object_id, frame in self.removals.items():
            words += ["--remove", f"{object_id}@{frame}"]
        for object_id, name in self.names.items():
            words += ["--name", f"{object_id}={name}"]
        words += ["--start", str(self.start)] if self.start else []
        return words + (["--stop", str(self.stop)] if self.stop is not None else [])


def parse_prompts(
    point: Iterable[Any], box: Any, frame: int, objects: Iterable[str]
) -> tuple[FramePrompt, ...]:
    """Read the prompts of a command, sorted by frame, then by object.

    Args:
        point: ``x,y`` or ``x,y:0`` as text, or numbers in a list or tuple: of object 1, in ``frame``.
        box: ``x0,y0,x1,y1`` likewise, or None.
        frame: of prompts that name none.
        objects: texts ``ID:PLACE`` or ``ID:PLACE@FRAME``.

    Raises:
        InvalidValue, InvalidType: a prompt is not written like that.
    """
    found: dict[tuple[int, int], FramePrompt] = {}

    def of(object_id: int, at: int) -> FramePrompt:
        # Several points of one object in one frame are one prompt: the network sees them together.
        return found.setdefault((at, object_id), FramePrompt(object_id, at))

    for place in point:
        _add(of(1, frame), _text(place), (2,), "a point is x,y, or x,y:0 beside the object")
    if box is not None:
        _add(of(1, frame), _text(box), (4,), "a box is x0,y0,x1,y1")
    form = "an object is ID:x,y@FRAME, or ID:x0,y0,x1,y1@FRAME for a box"
    for text in objects:
        match = _OBJECT.fullmatch(text.replace(" ", ""))
        if match is None:
            hint = "; its name is given with --name ID=NAME" if text[:1].isalpha() else ""
            raise InvalidValue(f"{form}, got {text!r}{hint}")
        at = frame if match[3] is None else _number(match[3], "frame")
        _add(of(_number(match[1], "id"), at), match[2], (2, 4), form, said=text)
    # Frames in order: the session is prompted while it runs, and cannot go back.
    return tuple(found[key] for key in sorted(found))


def parse_removals(removals: Iterable[str]) -> dict[int, int]:
    """Read ``ID@FRAME``: the frame from which an object is gone.

    Raises:
        InvalidValue: not written like that, or one object twice.
    """
    found: dict[int, int] = {}
    for text in removals:
        match = _REMOVAL.fullmatch(text.replace(" ", ""))
        if match is None:
            raise InvalidValue(f"a removal is ID@FRAME, such as 2@80, got {text!r}")
        object_id = _number(match[1], "id")
        if object_id in found:
            raise InvalidValue(f"object {object_id} is removed twice: say once in which frame")
        found[object_id] = _number(match[2], "frame")
    return found


def parse_names(names: Iterable[str]) -> dict[int, str]:
    """Read ``ID=NAME``: what an object is called.

    Raises:
        InvalidValue: not written like that, or one object twice.
    """
    found: dict[int, str] = {}
    for text in names:
        match = _NAME.fullmatch(text.strip())
        name = match[2].strip() if match else ""
        if match is None or not name:
            raise InvalidValue(f"a name is ID=NAME, such as 1=dog, got {text!r}")
        if not name.isprintable():
            raise InvalidValue(f"a name is one line of text, got {name!r}")
        object_id = _number(match[1], "id")
        if object_id in found:
            raise InvalidValue(
                f"object {object_id} has two names, {found[object_id]!r} and {name!r}"
            )
        found[object_id] = name
    return found


def _number(digits: str, what: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise InvalidValue(f"no video has so large a {what}: {digits[:20]}")
    return int(digits)


def _text(place: Any) -> str:
    """Write a place given as numbers as it is typed: ``(240, 150)`` as ``240,150``."""
    if isinstance(place, str):
        return place
    try:
        return ",".join(f"{float(number):g}" for number in place)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"a place is x,y or numbers, got {place!r:.80}") from error


def inside_frame(box: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    """Clip a box to the frame: networks may say a little more; at least a pixel is left."""
    width, height = size
    x0, y0 = min(max(box[0], 0.0), width - 1.0), min(max(box[1], 0.0), height - 1.0)
    x1, y1 = min(max(box[2], x0 + 1), float(width)), min(max(box[3], y0 + 1), float(height))
    # tenths of a pixel: what stands in the command that is printed is what was used
    return tuple(round(value, 1) for value in (x0, y0, x1, y1))


def _add(
    prompt: FramePrompt, text: str, counts: tuple[int, ...], form: str, said: str | None = None
) -> None:
    place, colon, sign = text.partition(":")
    try:
        numbers = tuple(float(part) for part in place.split(","))
    except ValueError:
        numbers = ()
    # Four numbers are a box and two a point; "counts" says which of them this option takes.
    is_box = len(numbers) == 4
    if len(numbers) not in counts or (colon and (is_box or sign not in ("0", "1"))):
        # A sign belongs to a point alone: a box is always on the object.
        raise InvalidValue(f"{form}, got {said or text!r}")
    if not is_box:
        prompt.points.append((numbers[0], numbers[1]))
        prompt.labels.append(int(sign or 1))
    elif prompt.box is None:
        prompt.box = numbers
    else:
        raise InvalidValue(f"object {prompt.object_id} has two boxes in frame {prompt.frame}")
