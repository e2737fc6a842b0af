"""Follow objects without learning: what a tracker has to beat.

Both take a mask and nothing else, and offer the part of a session's methods that an evaluation uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketeye.closing import Closing
from pocketeye.data.video.frames import Frames
from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.video.prompts import check_object_id, parse_prompt
from pocketeye.tracking.video.watch import frames_between


class StillMask:
    """Leave every mask where it was shown."""

    def open(self, source: Any = None) -> MaskSession:
        """Open a session over what :func:`open_video` takes."""
        return StillSession(open_video(source))


class FlowMask:
    """Carry every mask from frame to frame by dense optical flow.

    The flow is that of DIS (T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV
    2016) from OpenCV, preset medium, from each frame back to the one before; what was in the mask there
    is in it here.

    Raises:
        MissingExtra: OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._flow = _dis()

    def open(self, source: Any = None) -> MaskSession:
        """Open a session over what :func:`open_video` takes."""
        return FlowSession(open_video(source), self._flow)


class MaskSession(Closing, ABC):
    """Carry masks that are shown on from frame to frame."""

    def __init__(self, video: Frames) -> None:
        self.video = video
        self._prompted: dict[int, dict[int, np.ndarray]] = {}  # by frame, then by id
        self._masks: dict[int, np.ndarray] = {}  # where they are now; float32, as edges blur

    def close(self) -> None:
        """Give back the video."""
        self.video.close()

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
    ) -> Result:
        """Show the mask of an object in a frame (0 by default).

        Raises:
            InvalidValue, InvalidType: no mask, or one that does not fit the video.
        """
        # A click says nothing of an outline to one who has learnt nothing.
        if points is not None or box is not None:
            raise InvalidValue("without a network only a mask can be followed: give mask=")
        prompt = parse_prompt(self.video.size, None, None, None, mask)
        assert prompt.mask is not None
        at = 0 if frame is None else frame
        prompted = prompt.mask.astype(np.float32)
        self._prompted.setdefault(at, {})[check_object_id(object_id)] = prompted
        return self._result(at, self._prompted[at])

    def run(self, start: int | None = None, stop: int | None = None) -> Iterator[Result]:
        """Yield results from frame ``start`` on, by default the first with a mask.

        Raises:
            InvalidValue: nothing was shown.
        """
        if not self._prompted:
            raise InvalidValue("there is nothing to follow: add(...) a mask first")
        begin = min(self._prompted) if start is None else start
        end = self.video.num_frames if stop is None else stop
        # A second run begins anew: masks that were shown are all that lasts.
        self._masks = {}
        before: np.ndarray | None = None
        for number, frame in frames_between(self.video, begin, end, reverse=False):
            if before is not None and self._masks:
                self._masks = self.carry(self._masks, before, frame)
            # A mask that is shown replaces one that was carried to its frame.
            self._masks |= self._prompted.get(number, {})
            before = frame
            yield self._result(number, self._masks)

    @abstractmethod
    def carry(
        self, masks: dict[int, np.ndarray], before: np.ndarray, now: np.ndarray
    ) -> dict[int, np.ndarray]:
        """Return masks (float32, 0 to 1) of the frame ``before`` as they are ``now``; frames are RGB."""

    def _result(self, frame: int, masks: dict[int, np.ndarray]) -> Result:
        # Cut for the result alone: carried masks keep their soft edges, or they would shrink.
        items = tuple(CompactMask.from_dense(mask > 0.5) for mask in masks.values())
        return Result(
            size=self.video.size,
            masks=Masks(size=self.video.size, items=items),
            object_ids=tuple(masks),
            frame=frame,
        )


class StillSession(MaskSession):
    """Move nothing."""

    def carry(
        self, masks: dict[int, np.ndarray], before: np.ndarray, now: np.ndarray
    ) -> dict[int, np.ndarray]:
        return masks


class FlowSession(MaskSession):
    """Move pixels as the flow says."""

    def __init__(self, video: Frames, flow: Any) -> None:
        super().__init__(video)
        self._flow = flow

    def carry(
        self, masks: dict[int, np.ndarray], before: np.ndarray, now: np.ndarray
    ) -> dict[int, np.ndarray]:
        import cv2

        # From now to before: each pixel asks where it came from, so that none is left without a value.
        greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (now, before)]
        y, x = np.indices(greys[0].shape, np.float32)
        flow = self._flow.calc(*greys, None)
        place = (x + flow[..., 0], y + flow[..., 1])
        return {
            object_id: cv2.remap(mask, *place, cv2.INTER_LINEAR)
            for object_id, mask in masks.items()
        }


def _dis() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("optical flow", "opencv-python-headless", "flow") from error
    # The best of DIS's presets: the baseline is to be as good as it can without learning.
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
