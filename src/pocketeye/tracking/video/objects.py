"""Track objects by the rules of SAM 2's video predictor, with whatever engine computes.

The rules are SAM 2's as EfficientTAM uses them. Differences, all on purpose: an object is not tracked
before it was first shown, and objects are computed together where the engine can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.models.tam.prompt_numbers import MASK_PROMPT_LOGIT
from pocketeye.tracking.engine.base import Answers, Engine, Features, Reading
from pocketeye.tracking.image.components import fill_holes
from pocketeye.tracking.video.memory import FrameOutput, ObjectMemory, PromptedFrame
from pocketeye.tracking.video.options import Options
from pocketeye.tracking.video.placed import Prompt
from pocketeye.tracking.video.signals import signals_of
from pocketeye.tracking.video.view import View

Due = tuple[ObjectMemory, Reading]


class TrackedObjects:
    """Remember the objects of a session, and find them in frames.

    Attributes:
        memories: by the objects' numbers, in the order in which they were added.
        reverse: direction of the last pass; a correction reads what that pass read.
        rule: which tracked frames are read.
    """

    def __init__(self, engine: Engine, options: Options) -> None:
        self.engine, self.options = engine, options
        self.memories: dict[int, ObjectMemory] = {}
        self.reverse = False
        self.rule = options.memory_rule or engine.facts.session_rule

    def reset(self) -> None:
        """Forget all objects."""
        self.memories.clear()
        self.reverse = False

    def prompt(
        self, object_id: int, prompt: Prompt, view: View, size: tuple[int, int], most: int
    ) -> None:
        """Show an object in a frame, or correct it there.

        Args:
            size: (width, height) of the video.
            most: prompted frames that each object may keep.
        """
        known = self.memories.get(object_id)
        answer = self._predict_prompted(prompt, view, size, known)
        num_slots = self.engine.facts.num_maskmem
        memory = known or ObjectMemory(object_id, num_slots, view.frame, view.frame, self.rule)
        self.memories[object_id] = memory
        memory.prompt(
            view.frame, PromptedFrame(answer, prompt.points, prompt.labels, settled=False), most
        )
        for other in self.memories.values():  # a new object may leave less room for each
            other.limit(most, view.frame)

    def track(self, view: View) -> None:
        """Find the objects in a frame, but for those that are prompted there."""
        due: list[Due] = []
        for memory in self.memories.values():
            memory.settle()
            if not memory.is_due(view.frame, self.reverse):
                continue
            memory.tracked.add(view.frame)
            if view.frame not in memory.prompted:
                reading = memory.reading(view.frame, self.reverse)
                assert reading is not None  # its prompted frames are always there
                due.append((memory, reading))
        for batch in self.engine.batches([reading for _, reading in due]):
            self._track_together(view, [due[place] for place in batch])

    def answers(self, frame: int, *, only_due: bool) -> list[tuple[int, FrameOutput]]:
        """Return what is known of a frame; unless ``only_due``, also what an earlier pass found."""
        return [
            (number, answer)
            for number, memory in self.memories.items()
            if not only_due or memory.is_due(frame, self.reverse)
            if (answer := memory.answer(frame)) is not None
        ]

    def _track_together(self, view: View, batch: Sequence[Due]) -> None:
        seen = self._features(view)
        readings = [reading for _, reading in batch]
        found = self.engine.track(
            seen, readings, stability_fallback=self.options.stability_fallback
        )
        maps = self.engine.write(seen, found.mask, binarize=False)  # SAM 2 fills holes after this
        filled = fill_holes(found.mask, self.options.hole_area)
        for row, (memory, _) in enumerate(batch):
            last = memory.answer(view.frame + (1 if self.reverse else -1))
            answer = self._output(filled, found, row, maps[row], last)
            # Asked of every frame where the rule has anchors: it counts the areas it was shown.
            anchor = self.rule is MemoryRule.DISTINCT and memory.watch.is_anchor(
                view.frame, found.mask[row, 0], found.masks[row], float(found.ious[row].max())
            )
            memory.remember(view.frame, answer, anchor)

    def _predict_prompted(
        self, prompt: Prompt, view: View, size: tuple[int, int], memory: ObjectMemory | None
    ) -> FrameOutput:
        """Return what the network makes of a prompt."""
        seen, image_size = self._features(view), self.engine.facts.image_size
        if prompt.mask is not None:
            found = self.engine.adopt_mask(seen, prompt.network_mask(image_size))
        else:
            before, reading = None, None
            if memory is not None:
                before = memory.answer(view.frame)
                # SAM 2: a first prompt reads no memory, not even other prompts.
                if view.frame in memory.tracked:
                    reading = memory.reading(view.frame, self.reverse)
            mask = None
            if before is not None:
                mask = before.low_res_masks.clip(-MASK_PROMPT_LOGIT, MASK_PROMPT_LOGIT)
            found = self.engine.prompt(
                seen, reading, *prompt.arrays(size, image_size), mask,
                stability_fallback=self.options.stability_fallback,
            )  # fmt: skip
        filled = fill_holes(found.mask, self.options.hole_area)
        # For a prompt SAM 2 writes the filled mask, at low resolution.
        [written] = self.engine.write(seen, filled, binarize=self.options.binarize_click_masks)
        return self._output(filled, found, 0, written, None)

    def _output(
        self,
        filled: np.ndarray,
        found: Answers,
        row: int,
        written: object,
        last: FrameOutput | None,
    ) -> FrameOutput:
        one = slice(row, row + 1)
        score, iou = float(found.score[row]), float(found.ious[row].max())
        before = None if last is None else last.low_res_masks
        signals = signals_of(filled[one], score, iou, before)
        return FrameOutput(filled[one], score, found.pointer[one], written, signals)

    def _features(self, view: View) -> Features:
        if view.seen is None:
            view.seen = self.engine.encode(view.image)
        return view.seen
