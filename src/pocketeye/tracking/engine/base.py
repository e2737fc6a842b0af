"""Say what a session asks of whatever computes for it, in plain arrays.

The rules of sessions and memory (``pocketeye.tracking.video``) know nothing else of a network. What an
engine keeps of a frame and of an object's memory is its own: the rules hand it back as it was given.

Legend: B objects, M masks that compete for one object, (h, w) a quarter of the network's input (H, W),
C the width of a pointer, P points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pocketeye.errors import InvalidValue
from pocketeye.models.tam.memory_rule import MemoryRule

Features = Any  # of one frame, as the engine keeps them
MemoryMap = Any  # what one object left in one frame, as the engine keeps it


@dataclass(frozen=True, kw_only=True)
class TrackerFacts:
    """State what the rules must know of a tracker.

    Attributes:
        image_size: (height, width) to which frames are stretched.
        num_maskmem: slots of the memory, the last of them for prompted frames.
        pointer_dim: width of an object's pointer.
        memory_rule: which tracked frames the network was trained to read.
        session_rule: which ones its sessions read, unless they are opened with another rule.
        map_bytes: of one map of one object, an upper bound.
        max_objects: of a session; None where the engine takes any number.
        max_maps: that a frame can read of one object; None for any number.
    """

    image_size: tuple[int, int]
    num_maskmem: int
    pointer_dim: int
    memory_rule: MemoryRule
    session_rule: MemoryRule
    map_bytes: int
    max_objects: int | None = None
    max_maps: int | None = None

    @property
    def mask_size(self) -> tuple[int, int]:
        """(height, width) of the network's masks, a quarter of its input."""
        return self.image_size[0] // 4, self.image_size[1] // 4


class Answers(NamedTuple):
    """Hold what a network says about ``B`` objects in one frame; all float32."""

    masks: np.ndarray  # (B, M, h, w) logits: one mask, or three that competed
    ious: np.ndarray  # (B, M): expected IoU of each
    mask: np.ndarray  # (B, 1, h, w) logits: the chosen one
    pointer: np.ndarray  # (B, C)
    score: np.ndarray  # (B,) logit: the object is in the frame where above 0


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """List what a frame reads of one object.

    Attributes:
        maps: prompted frames first, then tracked ones from old to new.
        slots: of each map, the index of its age embedding (``maskmem_tpos_enc``).
        pointers: float32 ``(1, C)`` each.
    """

    maps: tuple[MemoryMap, ...]
    slots: tuple[int, ...]
    pointers: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[tuple[int, ...], int]:
        """Return what agrees where two objects can be read without padding."""
        return self.slots, len(self.pointers)


class Engine(ABC):
    """Compute what sessions ask of a tracker.

    Attributes:
        facts: of the tracker.
        device_name: on which it computes, such as ``cpu``.
    """

    facts: TrackerFacts
    device_name: str = "cpu"

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a few digits that tell its weights from others, for records of what was tracked."""

    @abstractmethod
    def encode(self, image: np.ndarray) -> Features:
        """Encode a frame for all objects and for all calls that concern it.

        Args:
            image: uint8 RGB ``(height, width, 3)`` of any size.
        """

    @abstractmethod
    def track(
        self, features: Features, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        """Find ``B`` objects in a frame by what it reads of each.

        Args:
            features: of the frame.
            readings: one per object, of those that :meth:`batches` puts together.
            stability_fallback: where the single mask is unstable, take the best of the three.
        """

    @abstractmethod
    def prompt(
        self,
        features: Features,
        reading: Reading | None,
        points: np.ndarray | None,
        labels: np.ndarray | None,
        mask_logits: np.ndarray | None,
        *,
        stability_fallback: bool,
        multimask: bool | None = None,
    ) -> Answers:
        """Find the one object that a prompt points at.

        Args:
            features: of the frame.
            reading: what the frame reads of the object; None where it was not tracked there before.
            points: float32 ``(1, P, 2)``, x and y in pixels of the network's input.
            labels: int64 ``(1, P)``: 1 in the object, 0 beside it, 2 and 3 for the upper left and the
                lower right corner of a box.
            mask_logits: float32 ``(1, 1, h, w)`` of an earlier answer, within ±32.
            stability_fallback: as of :meth:`track`.
            multimask: whether three masks compete; None: where there is one point or none.
        """

    @abstractmethod
    def adopt_mask(self, features: Features, mask: np.ndarray) -> Answers:
        """Take a mask that the user gave as the answer; the network only makes the pointer.

        Args:
            features: of the frame.
            mask: float32 ``(1, 1, H, W)``, 1 in the object, 0 elsewhere.
        """

    @abstractmethod
    def write(
        self, features: Features, masks: np.ndarray, *, binarize: bool
    ) -> tuple[MemoryMap, ...]:
        """Return what ``B`` objects leave in a frame, one map each.

        Args:
            features: of the frame.
            masks: float32 ``(B, 1, h, w)`` logits.
            binarize: write yes or no instead of probabilities.
        """

    def pack_maps(self, maps: Sequence[MemoryMap]) -> tuple[dict[str, np.ndarray], Any]:
        """Return what maps hold, to be kept or sent: arrays by name, and plain values for JSON.

        Raises:
            InvalidValue: this engine's maps cannot leave it.
        """
        raise InvalidValue(f"the memory of {type(self).__name__} cannot be handed on")

    def unpack_maps(self, arrays: Mapping[str, np.ndarray], said: Any) -> list[MemoryMap]:
        """Return maps that compute bit for bit as those that :meth:`pack_maps` was given.

        Raises:
            KeyError, IndexError, TypeError, ValueError: these are no packed maps of this engine.
        """
        raise InvalidValue(f"the memory of {type(self).__name__} cannot be handed on")

    def batches(self, readings: Sequence[Reading]) -> list[list[int]]:
        """Return which readings are computed together, by their places; by default all of them."""
        return [list(range(len(readings)))] if readings else []

    def computing(self, *, plain: bool, round_maps: bool) -> Engine:
        """Return the engine as a session computes with it that was opened with these options.

        Args:
            plain: compute as the authors do, one object at a time and everything in every frame.
            round_maps: keep maps as exact as bfloat16.

        Raises:
            InvalidValue: it cannot.
        """
        asked = [*(["plain=True"] if plain else []), *([] if round_maps else ["round_maps=False"])]
        if asked:
            raise InvalidValue(
                f"{' and '.join(asked)} is of a network in torch: an exported tracker computes as "
                "it was exported; leave it out, or open the tracker by its name"
            )
        return self
