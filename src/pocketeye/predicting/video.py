"""Tell what detectors, segmenters and classifiers see in a video, frame by frame."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from pocketeye import progress
from pocketeye.data import to_mode
from pocketeye.data.video.frames import Frames
from pocketeye.errors import require_range
from pocketeye.metrics import softmax
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.dense_files import found_in
from pocketeye.predicting.predict import Prediction, best_classes
from pocketeye.predicting.predictor import Predictor
from pocketeye.results import LabelMap, Result

MOST_SMOOTHED = 10_000  # frames; each keeps its probabilities
Look = Callable[[np.ndarray, int], Result]


class SeenFrames:
    """Give the results of a video, frame after frame, and count as it goes.

    Attributes:
        num_frames: that were seen so far.
        seconds: spent on reading and predicting, not on writing.
    """

    def __init__(self, frames: Frames, look: Look) -> None:
        self._frames, self._look = frames, look
        self.num_frames, self.seconds = 0, 0.0

    def __iter__(self) -> Iterator[Result]:
        images = iter(self._frames)
        with progress.task(f"predicting {self._frames.name}", self._frames.num_frames) as bar:
            while True:
                # Timed without what the caller does between two frames.
                began = time.perf_counter()
                image = next(images, None)
                if image is None:
                    return
                result = self._look(image, self.num_frames)
                self.seconds += time.perf_counter() - began
                self.num_frames += 1
                bar.advance()
                mean = self.seconds / self.num_frames
                bar.note(f"{1000 * mean:.0f} ms per frame, {1 / mean:.1f} fps")
                yield result

    @property
    def ms_per_frame(self) -> float:
        """Mean of the frames seen so far."""
        return 1000 * self.seconds / max(self.num_frames, 1)


def look_for_objects(predictor: DensePredictor, score_threshold: float) -> Look:
    """Return what finds objects, or the classes of pixels as one mask for each class."""

    def look(image: np.ndarray, frame: int) -> Result:
        found = found_in(predictor, image, score_threshold)
        if isinstance(found, LabelMap):
            return found.result()  # classes are no objects: they are not numbered by a frame
        return replace(found, frame=frame)

    return look


class ClassLook:
    """Tell the likeliest classes of each frame.

    Attributes:
        predictions: of the frames so far, named by their numbers.
    """

    def __init__(self, predictor: Predictor, *, topk: int = 5, smooth: int = 1) -> None:
        """Set what is told.

        Args:
            predictor: from ``open_predictor``.
            topk: classes per frame.
            smooth: the probabilities are the mean of this frame's and those of so many before it, in
                all ``smooth`` frames; 1 takes each frame for itself.

        Raises:
            InvalidValue: a number below 1.
        """
        require_range("topk", topk, 1, 1_000_000)
        require_range("smooth", smooth, 1, MOST_SMOOTHED)
        self._predictor, self._topk = predictor, topk
        self._transform = predictor.info.transform()
        # Old frames fall out by themselves.
        self._recent: deque[np.ndarray] = deque(maxlen=smooth)
        self.predictions: list[Prediction] = []

    def __call__(self, image: np.ndarray, frame: int) -> Result:
        """Return the frame with its likeliest class as one box around all of it."""
        info = self._predictor.info
        pixels = to_mode(Image.fromarray(image), info.in_chans)
        logits = self._predictor.logits(torch.stack([self._transform(pixels)]))
        self._recent.append(softmax(logits)[0])
        # The mean of probabilities, not of logits: a single sure frame counts no more than it
        # should.
        shares = np.mean(self._recent, axis=0)
        best = best_classes(str(frame), shares, info.classes, self._topk)
        self.predictions.append(best)
        height, width = image.shape[:2]
        return Result(
            # A class is of the whole frame: its box is the frame.
            size=(width, height), boxes=np.array([[0, 0, width, height]]), labels=best.classes[:1],
            scores=np.array(best.probabilities[:1]), image=image,
        )  # fmt: skip
