"""Options of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pocketeye.errors import InvalidValue, unknown
from pocketeye.models.tam.memory_rule import MemoryRule


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Say how a session tracks; the defaults are the authors'.

    Attributes:
        max_prompted_maps: prompted frames that each object keeps and reads (the authors': all). The
            first one and those nearest to the newest stay.
        memory_budget_mb: megabytes for the maps of all objects; fewer prompted frames are kept where
            it asks for that, and an object that does not fit is refused.
        binarize_click_masks: remember masks of prompted frames as yes or no, not as probabilities.
        stability_fallback: where the single mask is unstable, take the best of the three.
        hole_area: fill holes up to this many pixels of the network's masks (a quarter of its input).
        non_overlapping: give each pixel to one object at most.
        round_maps: keep maps as exact as bfloat16, which is what the networks were judged with.
        keep_images: results hold their frame, to be drawn; switch it off to collect results.
        memory_rule: which tracked frames are read; None: the network's own (the authors' networks:
            ``MemoryRule.RECENT``, ours: ``MemoryRule.DISTINCT``).
        plain: compute as the authors do, one object at a time and everything in every frame, for
            comparison.
    """

    max_prompted_maps: int = 8  # SAM 2 reads all, and becomes slower with each correction
    memory_budget_mb: float | None = None
    binarize_click_masks: bool = True
    stability_fallback: bool = True
    hole_area: int = 8  # SAM 2's fill_hole_area, counted in the network's masks as there
    non_overlapping: bool = False
    round_maps: bool = True
    keep_images: bool = True
    memory_rule: MemoryRule | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        if self.max_prompted_maps < 1:
            raise InvalidValue(
                f"max_prompted_maps is 1 or more, got {self.max_prompted_maps}: an object is known "
                "by its prompted frames"
            )
        if self.memory_budget_mb is not None and self.memory_budget_mb <= 0:
            raise InvalidValue(f"memory_budget_mb is above 0, got {self.memory_budget_mb:g}")
        if self.hole_area < 0:
            raise InvalidValue(f"hole_area is 0 or more, got {self.hole_area}")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Options:
        """Make options from keywords.

        Raises:
            InvalidValue: an unknown one (with the nearest spelling), or a value that is not allowed.
        """
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise unknown("option of a session", name, [*names, "fps"])
        return cls(**options)

    def most_prompted(self, num_objects: int, map_bytes: int, recent: int) -> int:
        """Return how many prompted maps each of so many objects may keep.

        Args:
            map_bytes: bytes of one map of one object.
            recent: maps of tracked frames that each object keeps besides.

        Raises:
            InvalidValue: the budget does not hold them.
        """
        budget = self.memory_budget_mb
        if budget is None:
            return self.max_prompted_maps
        maps = int(budget * 2**20 / map_bytes / num_objects)
        if maps < recent + 1:  # an object is not known without one prompted frame
            needed = num_objects * (recent + 1) * map_bytes / 2**20
            raise InvalidValue(
                f"memory_budget_mb={budget:g} does not hold {num_objects} object"
                f"{'s' if num_objects > 1 else ''} of this network, which need {needed:.0f}: "
                "remove one, or open a session with more"
            )
        return min(self.max_prompted_maps, maps - recent)
