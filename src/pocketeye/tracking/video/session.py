"""Follow objects through a video: prompts at any frame, masks frame by frame, constant memory.

What is found in a frame, and what is remembered of it, is the matter of
:class:`~pocketeye.tracking.video.objects.TrackedObjects`; here are the frames, and the checks of what a
user asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketeye.closing import Closing
from pocketeye.data.files.arrays import rgb_of
from pocketeye.data.video.frames import Frames, check_size
from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.tracking.engine.base import Engine
from pocketeye.tracking.video.confidence import ConfidenceCurve
from pocketeye.tracking.video.memory import Ring
from pocketeye.tracking.video.objects import TrackedObjects
from pocketeye.tracking.video.options import Options
from pocketeye.tracking.video.placed import Prompt
from pocketeye.tracking.video.prompts import check_object_id, named, parse_prompt
from pocketeye.tracking.video.state import pack, unpack
from pocketeye.tracking.video.tracked import TrackedFrame, tracked_frame
from pocketeye.tracking.video.view import View
from pocketeye.tracking.video.watch import frames_between

_MOST_EDITED = 4  # frames whose features are kept: a user corrects a few of them in turn


class Session(Closing):
    """Track objects through one video; :meth:`Tracker.open` makes it.

    A refused call changes nothing; the session goes on.

    Args:
        engine: computes, as :meth:`Engine.computing` gave it for the options.
        video: None where frames are pushed.
        confidence: tells from an answer's signals how likely its mask is right; None where nobody
            measured it.

    Attributes:
        options: as given, for the session's whole life.
        size: (width, height) of the frames; None before the first is pushed.
        frame: number of the frame last looked at, or None.
    """

    def __init__(
        self,
        engine: Engine,
        video: Frames | None,
        options: Options,
        confidence: ConfidenceCurve | None = None,
    ) -> None:
        self.engine, self.video, self.options = engine, video, options
        self.size: tuple[int, int] | None = video.size if video else None
        self._confidence = confidence
        self._objects = TrackedObjects(engine, options)
        self._removed: set[int] = set()
        self._view: View | None = None
        self._edited: Ring[View] = Ring(_MOST_EDITED)
        self._next_pushed = 0

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects that are tracked, in the order they were added."""
        return tuple(self._objects.memories)

    @property
    def frame(self) -> int | None:
        """Number of the frame last looked at, or None."""
        return self._view.frame if self._view else None

    def close(self) -> None:
        """Forget all objects and give back the video."""
        self.reset()
        self._view, self._edited = None, Ring(_MOST_EDITED)
        if self.video is not None:
            self.video.close()

    def reset(self) -> None:
        """Forget all objects, the removed ones too; options, video and frame numbers stay."""
        self._objects.reset()
        self._removed.clear()

    # --- handed on --------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Return all that the session remembers, by which another one goes on: see :meth:`restore`.

        Its size depends on the number of objects, not on the length of the video.

        Raises:
            InvalidValue: the engine's memory cannot be handed on.
        """
        image = None
        if self.video is None and self._view is not None:
            image = self._view.image  # a pushed frame cannot be read again
        said = {
            "size": self.size, "frame": self.frame, "removed": sorted(self._removed),
            "next_pushed": self._next_pushed,
        }  # fmt: skip
        return pack(self._objects, said, image)

    def restore(self, state: bytes) -> None:
        """Remember what another session did, instead of what this one does.

        The two go on alike, bit for bit: on one kind of processor, with as many threads.

        Args:
            state: what :meth:`to_bytes` gave, of a session with the same weights, options and video.

        Raises:
            InvalidValue: it is damaged, or of another tracker, other options or a video of another
                size; this session is unchanged.
        """
        objects = TrackedObjects(self.engine, self.options)
        said, image = unpack(state, objects)
        size = None if said["size"] is None else tuple(said["size"])
        if self.video is not None and size != self.video.size:
            raise InvalidValue(
                f"the state is of a session whose frames are {size}, and those of {self.video.name} "
                f"are {self.video.size}"
            )
        number, view = said["frame"], None
        if number is not None:
            if image is None:
                if self.video is None:
                    raise InvalidValue("the state is of a session with a video: open it with one")
                image = self.video[number]
            view = View(number, image)
        self._objects, self._view, self._edited = objects, view, Ring(_MOST_EDITED)
        self.size, self._removed = size, set(said["removed"])
        self._next_pushed = said["next_pushed"]

    # --- objects ----------------------------------------------------------------------------------

    def add(
        self,
        object_id: int,
        *,
        frame: int | None = None,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        mask: Any = None,
        clear_old_points: bool = True,
    ) -> TrackedFrame:
        """Show an object, or correct it.

        What the network said of the object in that frame before, if it is still remembered, is
        part of what it now sees.

        Args:
            object_id: a number from 1 up.
            frame: of the video; by default the one last looked at (0 at the start).
            points: ``[[x, y], …]`` in pixels of the video.
            labels: of each point: 1 on the object, 0 beside it; all 1 by default.
            box: ``[x0, y0, x1, y1]``; may come with points.
            mask: bool or integers ``(height, width)``, 0 the background, or a
                :class:`pocketeye.results.CompactMask`.
            clear_old_points: the points replace those given in this frame before, else they are added.

        Returns:
            What is known of this frame: the masks of all objects that have one there.

        Raises:
            InvalidValue, InvalidType: something is wrong with the prompt, the frame or the id.
        """
        object_id = check_object_id(object_id)
        if object_id in self._removed:
            raise InvalidValue(
                f"object {object_id} was removed from this session: choose another id "
                f"(tracked: {named(self.object_ids)}), or reset() to begin anew"
            )
        if self.size is None:
            raise InvalidValue("there is no frame yet: push(frame) before add(...)")
        prompt = parse_prompt(self.size, points, labels, box, mask)
        view = self._go_to(self._frame_number(frame))
        most = self._room_for(object_id)
        known = self._objects.memories.get(object_id)
        before = known.prompted.get(view.frame) if known else None
        if before is not None and not clear_old_points and prompt.mask is None:
            if box is not None:
                raise InvalidValue("a box begins anew: give it with clear_old_points=True")
            prompt = Prompt(
                points=(*before.points, *prompt.points), labels=(*before.labels, *prompt.labels)
            )
        # From here on nothing raises: a prompt that is refused has left the session as it was.
        self._objects.prompt(object_id, prompt, view, self.size, most)
        return self._result(view)

    def _room_for(self, object_id: int) -> int:
        """Return how many prompted frames each object may keep once this one is there too.

        Raises:
            InvalidValue: it would be more than the engine or the budget of memory allows.
        """
        facts, there = self.engine.facts, self._objects.memories
        num_objects = len(there) + (object_id not in there)
        if facts.max_objects is not None and num_objects > facts.max_objects:
            raise InvalidValue(
                f"object {object_id} would be number {num_objects}, and this tracker was exported for "
                f"{facts.max_objects} at once (tracked: {named(self.object_ids)}): remove one, export "
                "it for more, or open the tracker by its name"
            )
        return self.options.most_prompted(
            num_objects, facts.map_bytes, recent=facts.num_maskmem - 1
        )

    def remove(self, object_id: int) -> None:
        """Stop to track an object and forget it; the others do not notice.

        Raises:
            InvalidValue: no such object.
        """
        if object_id not in self._objects.memories:
            why = "was removed already" if object_id in self._removed else "is unknown"
            raise InvalidValue(
                f"object {object_id} {why}: this session tracks {named(self.object_ids)}"
            )
        del self._objects.memories[object_id]
        self._removed.add(object_id)

    # --- frames -----------------------------------------------------------------------------------

    def run(
        self, start: int | None = None, stop: int | None = None, *, reverse: bool = False
    ) -> Iterator[TrackedFrame]:
        """Track through the video; objects may be added, corrected and removed on the way.

        Args:
            start: first frame; by default the first prompted one (backwards: the last).
            stop: the frame before which to stop, as in :func:`range`; by default the video's end
                (backwards: its beginning).
            reverse: go backwards.

        Raises:
            InvalidValue: no object, or frames that the video does not have.
        """
        if self.video is None:
            raise InvalidValue("this session has no video: push(frame) its frames one by one")
        # Where all objects were removed on the way, the frames that are left are empty.
        if not self._objects.memories and (start is None or not self._removed):
            raise InvalidValue("there is nothing to track: add(...) an object first")
        if start is None:
            if reverse:
                start = max(memory.last for memory in self._objects.memories.values())
            else:
                start = min(memory.first for memory in self._objects.memories.values())
        start, stop = self._range(start, stop, reverse)
        return self._run(start, stop, reverse)  # a generator apart: run() itself raises, not next()

    def _run(self, start: int, stop: int | None, reverse: bool) -> Iterator[TrackedFrame]:
        assert self.video is not None
        for number, image in frames_between(self.video, start, stop, reverse):
            self._objects.reverse = reverse
            if self._view is None or self._view.frame != number:
                self._view = self._edited.get(number) or View(number, image)
            yield self._track(self._view)

    def push(self, frame: Any) -> TrackedFrame:
        """Track in the next frame of a live session.

        Args:
            frame: uint8 ``(height, width, 3)`` RGB (grey and RGBA are converted), or a PIL image.

        Raises:
            InvalidValue, InvalidType: the session has a video, or no such image, or one of another
                size than those before.
        """
        if self.video is not None:
            raise InvalidValue(f"this session reads {self.video.name}: open(None) one to push to")
        what = f"frame {self._next_pushed}"
        image = rgb_of(frame, what)
        if self.size is not None:
            check_size(what, image, self.size)
        self.size = image.shape[1], image.shape[0]
        self._view = View(self._next_pushed, image)
        self._next_pushed += 1
        return self._track(self._view)

    def _frame_number(self, frame: int | None) -> int:
        current = self._view.frame if self._view else 0
        if frame is None:
            return current
        if isinstance(frame, bool) or not isinstance(frame, int | np.integer):
            raise InvalidType(f"a frame is a whole number from 0 up, got {frame!r}")
        if frame < 0:
            raise InvalidValue(f"frames are counted from 0, got {frame}")
        if self.video is None and frame != current:
            raise InvalidValue(
                f"frame {frame} is gone or yet to come: a live session holds only its last "
                f"frame, now {current}"
            )
        return int(frame)

    def _go_to(self, frame: int) -> View:
        if self._view is None or self._view.frame != frame:
            assert self.video is not None  # a live session's frame is always at hand
            self._view = self._edited.get(frame) or View(frame, self.video[frame])
            self._edited.put(frame, self._view)
        return self._view

    def _range(self, start: int, stop: int | None, reverse: bool) -> tuple[int, int | None]:
        assert self.video is not None
        start = self._frame_number(start)
        count = self.video.num_frames
        if count is not None and start >= count:
            raise InvalidValue(
                f"{self.video.name} has no frame {start}: its {count} frames are 0 to {count - 1}"
            )
        if stop is None:
            return start, -1 if reverse else count
        stop = self._frame_number(stop)
        if not reverse and count is not None and stop > count:
            raise InvalidValue(
                f"{self.video.name} ends before frame {stop}: stop is at most {count}"
            )
        if (stop >= start) if reverse else (stop <= start):
            way = "backwards" if reverse else "forwards"
            raise InvalidValue(f"there is no frame from {start} {way} before {stop}")
        return start, stop

    # --- tracking ---------------------------------------------------------------------------------

    def _track(self, view: View) -> TrackedFrame:
        self._objects.track(view)
        return self._result(view, only_due=True)

    def _result(self, view: View, *, only_due: bool = False) -> TrackedFrame:
        """Return the result of a frame; unless ``only_due``, with what an earlier pass found in it."""
        assert self.size is not None
        return tracked_frame(
            view.frame, self.size, self._objects.answers(view.frame, only_due=only_due),
            self.engine.facts.mask_size, view.image if self.options.keep_images else None,
            self.options.non_overlapping, self._confidence,
        )  # fmt: skip
