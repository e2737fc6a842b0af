"""Compute what sessions ask by the graphs of an exported tracker, in numpy alone.

The graphs are functions of arrays, whatever runtime stands behind them. This very file becomes a
part of the ``track.py`` that travels with an artefact, so it imports numpy, pillow and what travels
along.

Legend: B objects, K maps of a bank, N tokens of a map, L of a map as it is read, C ``dim``,
M ``mem_dim``, D layers of memory attention, P pointers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pocketeye.errors import InvalidValue
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.models.tam.prompt_numbers import ABSENT_LOGIT, EMPTY_BIAS, FILL_LABEL, NO_POINT
from pocketeye.tracking.engine.base import Answers, Engine, Features, Reading, TrackerFacts
from pocketeye.tracking.image.resize import antialiased

Graph = Callable[..., tuple[np.ndarray, ...]]


class GraphMap(NamedTuple):
    """Hold what one object left in one frame; arrays that the network has no use for are None."""

    keys: np.ndarray  # (D, L, C), as it is read beside other maps
    values: np.ndarray  # (L, M)
    whole_keys: np.ndarray  # (D, N, C), as a single map is read; the same unless maps are pooled
    whole_values: np.ndarray  # (N, M)
    match_keys: np.ndarray | None  # (N, Km), shared by the objects of a frame
    match_masks: np.ndarray | None  # (N, 4)
    target_sums: np.ndarray | None  # (K + 1, K + 2)


class Bank:
    """Hold the inputs of a reading graph; from frame to frame only what changed is written.

    Args:
        shapes: of the graph's inputs, by name.
        num_maps: places for maps.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], num_maps: int) -> None:
        kept = ("keys", "values", "pointers", "match_keys", "match_masks")
        self.arrays = {n: np.zeros(shapes[n], np.float32) for n in kept if n in shapes}
        self.num_maps, self.num_pointers = num_maps, shapes["pointers"][1]
        self._held: list[tuple[GraphMap, int] | None] = [None] * num_maps

    def fill(self, reading: Reading, ages: Callable[[int], np.ndarray], whole: bool) -> None:
        """Bring the bank up to date with what a frame reads.

        Args:
            ages: gives what a slot adds to the keys, ``(D, L, C)``.
            whole: take maps whole, as a single one is read.
        """
        count = len(reading.maps)
        for place in range(self.num_maps):
            # An empty place repeats the first map, so that no likeness changes; its bias hides it.
            n = place if place < count else 0
            wanted, held = (reading.maps[n], reading.slots[n]), self._held[place]
            if held is None or held[0] is not wanted[0] or held[1] != wanted[1]:
                self._put(place, *wanted, ages, whole)
                self._held[place] = wanted
        pointers = self.arrays["pointers"]
        pointers[0, : len(reading.pointers)] = np.concatenate(reading.pointers)
        self.arrays["map_bias"] = _bias(self.num_maps, count)
        self.arrays["pointer_bias"] = _bias(self.num_pointers, len(reading.pointers))

    def _put(
        self, place: int, one: GraphMap, slot: int, ages: Callable[[int], np.ndarray], whole: bool
    ) -> None:
        keys, values = (one.whole_keys, one.whole_values) if whole else (one.keys, one.values)
        length = len(values)
        rows = slice(place * length, (place + 1) * length)
        np.add(keys, ages(slot), out=self.arrays["keys"][:, 0, rows])
        self.arrays["values"][0, rows] = values
        if one.match_keys is not None and one.match_masks is not None:
            num = len(one.match_masks)
            cells = slice(place * num, (place + 1) * num)
            self.arrays["match_keys"][0, cells] = one.match_keys
            self.arrays["match_masks"][0, cells] = one.match_masks


class ArtifactEngine(Engine):
    """Compute by the graphs of an artefact, one object at a time.

    Args:
        said: what ``tracker.json`` holds.
        graphs: by their names in it.
    """

    def __init__(self, said: Mapping[str, Any], graphs: Mapping[str, Graph]) -> None:
        self.said, self.graphs = said, graphs
        self.facts = TrackerFacts(
            image_size=(said["image_size"][0], said["image_size"][1]),
            num_maskmem=len(said["ages"]),
            pointer_dim=len(said["no_obj_ptr"]),
            memory_rule=MemoryRule(said["memory_rule"]),
            session_rule=MemoryRule(said["session_rule"]),
            map_bytes=said["map_bytes"],
            max_maps=max(said["capacities"]),
        )
        self._no_mem_embed = np.asarray(said["no_mem_embed"], np.float32)
        self._no_obj_ptr = np.asarray(said["no_obj_ptr"], np.float32)
        self._ages: dict[tuple[int, bool], np.ndarray] = {}
        self._banks: dict[int, Bank] = {}

    def fingerprint(self) -> str:
        """See :class:`Engine`: that of the network which was exported."""
        return str(self.said["fingerprint"])

    def encode(self, image: np.ndarray) -> Features:
        """See :class:`Engine`; the frame is stretched by PIL's bicubic."""
        height, width = self.facts.image_size
        resized = Image.fromarray(image).resize((width, height))
        return self._run("image", {"image": np.asarray(resized)[None]})

    def track(
        self, features: Features, readings: Sequence[Reading], *, stability_fallback: bool
    ) -> Answers:
        """See :class:`Engine`."""
        found = []
        # One after another stays in a processor's cache: batches of 8 take longer an object.
        for reading in readings:
            known = self._condition(features, reading)
            found.append(self._choose(self._run("decode", known), True, stability_fallback))
        return Answers(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

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
        """See :class:`Engine`.

        Raises:
            InvalidValue: more points than the graph has places for.
        """
        if reading is None:  # SAM 2: a first prompt reads no memory
            known = {**features, "known": features["feat"] + self._no_mem_embed}
        else:
            known = self._condition(features, reading)
            known["known"] = known["read"]
        count = 0 if points is None else points.shape[1]
        decoded = self._prompted(known, points, labels, mask_logits)
        # SAM 2's multimask_max_pt_num: two points or more, so also a box, say enough for one mask.
        several = count <= 1 if multimask is None else multimask
        return self._choose(decoded, several, stability_fallback)

    def adopt_mask(self, features: Features, mask: np.ndarray) -> Answers:
        """See :class:`Engine`."""
        height, width = (side // 4 for side in self.facts.image_size)
        weight = np.asarray(self.said["mask_weight"], np.float32)
        tiles = mask.reshape(height, 4, width, 4)
        prompt = np.einsum("hywx,yx->hw", tiles, weight)[None, None]
        known = {**features, "known": features["feat"]}
        decoded = self._prompted(known, None, None, prompt + np.float32(self.said["mask_bias"]))
        answers = self._choose(decoded, False, False)
        present = bool(mask.max() > 0)
        # SAM 2's: sure either way
        low = antialiased(mask[0, 0] * np.float32(20) - np.float32(10), height, width)[None, None]
        return Answers(
            masks=low,
            ious=np.ones((1, 1), np.float32),
            mask=low,
            pointer=answers.pointer if present else self._no_obj_ptr[None],
            score=np.array([10.0 if present else -10.0], np.float32),
        )

    def write(
        self, features: Features, masks: np.ndarray, *, binarize: bool
    ) -> tuple[GraphMap, ...]:
        """See :class:`Engine`."""
        yes = np.full((1, 1), float(binarize), np.float32)
        return tuple(
            _map_of(self._run("write", {**features, "mask": mask[None], "binarize": yes}), features)
            for mask in np.asarray(masks, np.float32)
        )

    def pack_maps(self, maps: Sequence[GraphMap]) -> tuple[dict[str, np.ndarray], Any]:
        """See :class:`Engine`; what several maps share is kept once."""
        arrays: dict[str, np.ndarray] = {}
        names: dict[Any, str] = {}
        said = []
        for one in maps:
            row = {}
            for field, array in one._asdict().items():
                if array is not None:
                    at = array.__array_interface__
                    key = (at["data"][0], array.shape, array.strides)
                    row[field] = names.setdefault(key, str(len(names)))
                    arrays[row[field]] = np.ascontiguousarray(array)
            said.append(row)
        return arrays, said

    def unpack_maps(self, arrays: Mapping[str, np.ndarray], said: Any) -> list[GraphMap]:
        """See :class:`Engine`."""
        empty: dict[str, Any] = dict.fromkeys(GraphMap._fields)
        return [
            GraphMap(**{**empty, **{field: arrays[name] for field, name in row.items()}})
            for row in said
        ]

    def _run(self, name: str, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run a graph on those of the arrays that it takes."""
        said = self.said["graphs"][name]
        outputs = self.graphs[name](*(np.ascontiguousarray(given[key]) for key in said["inputs"]))
        return dict(zip(said["outputs"], outputs, strict=True))

    def _condition(self, features: Features, reading: Reading) -> dict[str, np.ndarray]:
        """Return the features with ``read``, which knows the memory, and the solved ``target``."""
        whole = len(reading.maps) == 1
        num_maps = self._capacity(reading)
        name = f"read-{num_maps}"
        if num_maps not in self._banks:
            self._banks[num_maps] = Bank(self.said["graphs"][name]["shapes"], num_maps)
        bank = self._banks[num_maps]
        bank.fill(reading, lambda slot: self._age(slot, whole), whole)
        known = {**features, **self._run(name, {**features, **bank.arrays})}
        if self.said["prompted"] is not None:
            known["target"] = self._solved(reading)
            known["target_on"] = np.ones((1, 1), np.float32)
        return known

    def _capacity(self, reading: Reading) -> int:
        maps, pointers = len(reading.maps), len(reading.pointers)
        fits = [number for number in self.said["capacities"] if number >= maps]
        if not fits or pointers > self.said["num_pointers"]:
            raise InvalidValue(
                f"a frame reads {maps} maps and {pointers} pointers, and this artefact holds "
                f"{max(self.said['capacities'])} and {self.said['num_pointers']}: open the session "
                "with a smaller max_prompted_maps"
            )
        return min(fits)

    def _age(self, slot: int, whole: bool) -> np.ndarray:
        """Return what the age of a map adds to its keys; computed once for each."""
        if (slot, whole) not in self._ages:
            embedding = np.asarray(self.said["ages"][slot], np.float32)[None]
            placed = self._run("place", {"embedding": embedding})
            self._ages[slot, True] = placed["keys"][:, 0]
            self._ages[slot, False] = placed.get("pooled_keys", placed["keys"])[:, 0]
        return self._ages[slot, whole]

    def _solved(self, reading: Reading) -> np.ndarray:
        """Solve the target model's regression over the maps that a frame reads, ``(1, K + 1)``."""
        prompted = self.facts.num_maskmem - 1
        total, weight = 0.0, 0.0
        for one, slot in zip(reading.maps, reading.slots, strict=True):
            own = self.said["prompted"] if slot == prompted else 1.0
            total, weight = total + np.float32(own) * one.target_sums, weight + own
        moments, with_mask = np.split(total / np.float32(weight), [-1], 1)
        ridge = np.float32(self.said["ridge"]) * np.eye(len(moments), dtype=np.float32)
        return np.linalg.solve(moments + ridge, with_mask)[:, 0][None]

    def _prompted(
        self,
        known: dict[str, np.ndarray],
        points: np.ndarray | None,
        labels: np.ndarray | None,
        mask: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Decode what a prompt points at."""
        places, (height, width) = self.said["num_points"], self.facts.mask_size
        at = np.zeros((1, places, 2), np.float32)
        kinds = np.full((1, places), FILL_LABEL, np.float32)
        if points is None or labels is None:
            kinds[0, 0] = NO_POINT
        elif points.shape[1] > places:
            raise InvalidValue(
                f"a prompt of {points.shape[1]} points in one frame, and this artefact takes "
                f"{places}: give fewer, or a mask"
            )
        else:
            at[:, : points.shape[1]], kinds[:, : points.shape[1]] = points, labels
        on = np.full((1, 1), float(mask is not None), np.float32)
        if mask is None:
            mask = np.zeros((1, 1, height, width), np.float32)
        given = {"points": at, "labels": kinds, "mask": mask.astype(np.float32), "mask_on": on}
        if self.said["prompted"] is not None:
            dim = self.said["graphs"]["prompt"]["shapes"]["target"][1]
            given["target"] = np.zeros((1, dim), np.float32)
            given["target_on"] = np.zeros((1, 1), np.float32)
        return self._run("prompt", {**given, **known})

    def _choose(
        self, decoded: Mapping[str, np.ndarray], multimask: bool, stability_fallback: bool
    ) -> Answers:
        """Choose among the masks of one object, as the network was trained to be read."""
        masks, ious = decoded["masks"], decoded["ious"]
        pointers, score = decoded["pointers"], decoded["score"][:, 0]
        if multimask:  # mask 0 is the one that stands alone
            first, masks, ious = 1, masks[:, 1:], ious[:, 1:]
        else:
            first, index = 0, self._single(masks, ious) if stability_fallback else 0
            masks, ious = masks[:, index : index + 1], ious[:, index : index + 1]
        best = int(ious[0].argmax())
        if score[0] > 0:
            # Of a single mask the pointer is that of mask 0, even where another one was taken.
            pointer = pointers[:, first + best]
        else:
            masks, pointer = np.full_like(masks, ABSENT_LOGIT), self._no_obj_ptr[None]
        return Answers(masks, ious, masks[:, best : best + 1], pointer, score)

    def _single(self, masks: np.ndarray, ious: np.ndarray) -> int:
        """Return the mask that stands alone where it is stable, else the best of the others."""
        delta, threshold = self.said["stability_delta"], self.said["stability_threshold"]
        inner, outer = int((masks[0, 0] > delta).sum()), int((masks[0, 0] > -delta).sum())
        return 0 if inner >= threshold * outer else int(ious[0, 1:].argmax()) + 1


def _bias(places: int, filled: int) -> np.ndarray:
    bias = np.zeros((1, places), np.float32)
    bias[0, filled:] = EMPTY_BIAS
    return bias


def _map_of(written: Mapping[str, np.ndarray], features: Features) -> GraphMap:
    """Return the map of one object out of what the writing graph gave for it."""
    matches, target = written.get("match_masks"), written.get("target_sums")
    return GraphMap(
        keys=written.get("pooled_keys", written["keys"])[:, 0],
        values=written.get("pooled_values", written["values"])[0],
        whole_keys=written["keys"][:, 0],
        whole_values=written["values"][0],
        match_keys=None if matches is None else features["match_key"][0],
        match_masks=None if matches is None else matches[0],
        target_sums=None if target is None else target[0],
    )
