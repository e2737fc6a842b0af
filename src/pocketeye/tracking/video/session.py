"""Follow objects through a video: prompts at any frame, masks frame by frame, constant memory.

The rules are those of SAM 2's video predictor as EfficientTAM uses it. Differences, all on purpose: an
object is not tracked before it was first shown, ``run`` yields as many frames as it is asked for, and
objects with equal memory are computed as one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketeye.closing import Closing
from pocketeye.data.files.arrays import rgb_of
from pocketeye.data.video.frames import Frames, check_size
from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models.tam import ImageFeatures, MemoryRule, Prediction
from pocketeye.models.tam.tam import as_prompt
from pocketeye.tracking.image.components import fill_holes
from pocketeye.tracking.video.memory import (
    FrameOutput,
    MapBatch,
    MapRow,
    ObjectMemory,
    PromptedFrame,
    Reading,
    Ring,
    in_batches,
)
from pocketeye.tracking.video.network import TrackerNetwork
from pocketeye.tracking.video.options import Options
from pocketeye.tracking.video.prompts import Prompt, check_object_id, named, parse_prompt
from pocketeye.tracking.video.signals import signals_of
from pocketeye.tracking.video.tracked import TrackedFrame, tracked_frame
from pocketeye.tracking.video.view import View
from pocketeye.tracking.video.watch import frames_between

_MOST_EDITED = 4  # frames whose features are kept: a user corrects a few of them in turn


class Session(Closing):
    """Track objects through one video; :meth:`Tracker.open` makes it.

    A refused call changes nothing; the session goes on.

    Attributes:
        options: as given, for the session's whole life.
        size: (width, height) of the frames; None before the first is pushed.
        frame: number of the frame last looked at, or None.
    """

    def __init__(self, tracker: TrackerNetwork, video: Frames | None, options: Options) -> None:
        self.tracker, self.video, self.options = tracker, video, options
        self.size: tuple[int, int] | None = video.size if video else None
        self._objects: dict[int, ObjectMemory] = {}
        self._removed: set[int] = set()
        self._view: View | None = None
        self._edited: Ring[View] = Ring(_MOST_EDITED)
        self._next_pushed = 0
        self._reverse = False  # direction of the last pass: a correction reads what that pass read
        self._rule = options.memory_rule or tracker.model.session_rule

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Objects that are tracked, in the order they were added."""
        return tuple(self._objects)

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
        self._objects.clear()
        self._removed.clear()
        self._reverse = False

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
        known = self._objects.get(object_id)
        most = self.options.most_prompted(
            len(self._objects) + (known is None), self.tracker.map_bytes,
            recent=self.tracker.model.num_maskmem - 1,
        )  # fmt: skip
        before = known.prompted.get(view.frame) if known else None
        if before is not None and not clear_old_points and prompt.mask is None:
            if box is not None:
                raise InvalidValue("a box begins anew: give it with clear_old_points=True")
            prompt = Prompt(
                points=(*before.points, *prompt.points), labels=(*before.labels, *prompt.labels)
            )
        # From here on nothing raises: a prompt that is refused has left the session as it was.
        with self.tracker.computing(self.options.plain):
            answer = self._predict_prompted(prompt, view, known)
        memory = known or ObjectMemory(
            object_id, self.tracker.model.num_maskmem, view.frame, view.frame, self._rule
        )
        self._objects[object_id] = memory
        memory.prompt(
            view.frame,
            PromptedFrame(answer, prompt.points, prompt.labels, settled=False),
            most,
        )
        for other in self._objects.values():  # a new object may leave less room for each
            other.limit(most, view.frame)
        return self._result(view)

    def remove(self, object_id: int) -> None:
        """Stop to track an object and forget it; the others do not notice.

        Raises:
            InvalidValue: no such object.
        """
        if object_id not in self._objects:
            why = "was removed already" if object_id in self._removed else "is unknown"
            raise InvalidValue(
                f"object {object_id} {why}: this session tracks {named(self.object_ids)}"
            )
        del self._objects[object_id]
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
        if not self._objects:
            raise InvalidValue("there is nothing to track: add(...) an object first")
        if start is None:
            if reverse:
                start = max(memory.last for memory in self._objects.values())
            else:
                start = min(memory.first for memory in self._objects.values())
        start, stop = self._range(start, stop, reverse)
        return self._run(start, stop, reverse)  # a generator apart: run() itself raises, not next()

    def _run(self, start: int, stop: int | None, reverse: bool) -> Iterator[TrackedFrame]:
        assert self.video is not None
        for number, image in frames_between(self.video, start, stop, reverse):
            self._reverse = reverse
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
        due: list[tuple[ObjectMemory, Reading]] = []
        for memory in self._objects.values():
            memory.settle()
            if not memory.is_due(view.frame, self._reverse):
                continue
            memory.tracked.add(view.frame)
            if view.frame not in memory.prompted:
                reading = memory.reading(view.frame, self._reverse)
                assert reading is not None  # its prompted frames are always there
                due.append((memory, reading))
        with self.tracker.computing(self.options.plain):
            for batch in in_batches(due, together=not self.options.plain):
                self._track_together(view, batch)
        return self._result(view, only_due=True)

    def _track_together(self, view: View, batch: list[tuple[ObjectMemory, Reading]]) -> None:
        seen = self._features(view)
        readings = [reading for _, reading in batch]
        read = self.tracker.condition(seen, readings, self.options.plain)
        prediction = self.tracker.model.predict(
            read.feat,
            stability_fallback=self.options.stability_fallback,
            details=read.details,
        )
        maps = self._write(seen, prediction.mask, binarize=False)  # SAM 2 fills holes after this
        low_res_masks, scores = self._filled(prediction), prediction.score.flatten().tolist()
        ious = prediction.ious.amax(1).tolist()
        for row, (memory, _) in enumerate(batch):
            one = slice(row, row + 1)
            last = memory.answer(view.frame + (1 if self._reverse else -1))
            before = None if last is None else last.low_res_masks
            signals = signals_of(low_res_masks[one], scores[row], ious[row], before)
            pointer = prediction.pointer[one].float()
            answer = FrameOutput(
                low_res_masks[one], scores[row], pointer, MapRow(maps, row), signals
            )
            anchor = self._rule is MemoryRule.DISTINCT and memory.watch.is_anchor(
                view.frame, prediction.mask[row, 0], prediction.masks[row], ious[row]
            )
            memory.remember(view.frame, answer, anchor)

    def _predict_prompted(
        self, prompt: Prompt, view: View, memory: ObjectMemory | None
    ) -> FrameOutput:
        """Return what the network makes of a prompt."""
        model, seen = self.tracker.model, self._features(view)
        if prompt.mask is not None:
            mask = prompt.mask_tensor(self.tracker.image_size, self.tracker.device)
            prediction = model.adopt_mask(seen.feat, mask, seen.details)
        else:
            assert self.size is not None
            before = memory.answer(view.frame) if memory else None
            known = self._known_before(seen, view.frame, memory)
            prediction = model.predict(
                known.feat,
                *prompt.tensors(self.size, self.tracker.image_size, self.tracker.device),
                mask=as_prompt(before.low_res_masks) if before else None,
                stability_fallback=self.options.stability_fallback,
                details=known.details,
            )
        low_res_masks = self._filled(prediction)
        # For a prompt SAM 2 writes the filled mask, at low resolution.
        maps = self._write(seen, low_res_masks, binarize=self.options.binarize_click_masks)
        score, iou = prediction.score.item(), prediction.ious.max().item()
        signals = signals_of(low_res_masks, score, iou)
        return FrameOutput(
            low_res_masks, score, prediction.pointer.float(), MapRow(maps, 0), signals
        )

    def _known_before(
        self, seen: ImageFeatures, frame: int, memory: ObjectMemory | None
    ) -> ImageFeatures:
        """Return features that know the object's memory, if it was tracked in this frame before."""
        reading = None
        if memory is not None and frame in memory.tracked:
            reading = memory.reading(frame, self._reverse)
        if reading is None:  # SAM 2: a first prompt reads no memory, not even other prompts
            return seen._replace(feat=self.tracker.model.without_memory(seen.feat))
        return self.tracker.condition(seen, [reading], self.options.plain)

    def _features(self, view: View) -> ImageFeatures:
        if view.seen is None:
            view.seen = self.tracker.encode_image(view.image)
        return view.seen

    def _write(self, seen: ImageFeatures, mask: Tensor, *, binarize: bool) -> MapBatch:
        options = self.options
        return self.tracker.write_map(
            seen, mask.float(), binarize=binarize, round_maps=options.round_maps,
            plain=options.plain,
        )  # fmt: skip

    def _filled(self, prediction: Prediction) -> Tensor:
        return fill_holes(prediction.mask.float(), self.options.hole_area)

    def _result(self, view: View, *, only_due: bool = False) -> TrackedFrame:
        """Return the result of a frame; unless ``only_due``, with what an earlier pass found in it."""
        answers = []
        for memory in self._objects.values():
            if not only_due or memory.is_due(view.frame, self._reverse):
                answer = memory.answer(view.frame)
                if answer is not None:
                    answers.append((memory.object_id, answer))
        assert self.size is not None
        height, width = self.tracker.image_size
        with torch.inference_mode():
            return tracked_frame(
                view.frame, self.size, answers, (height // 4, width // 4),
                view.image if self.options.keep_images else None, self.options.non_overlapping,
                self.tracker.confidence,
            )  # fmt: skip
