"""Make the cases that the rules in Python and those in JavaScript must both pass."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from PIL import Image

from pocketeye.artifacts.detection_numpy import RetinaDecoder
from pocketeye.artifacts.semantic_numpy import label_map, prepare
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.results import CompactMask
from pocketeye.results.colors import color_of
from pocketeye.tracking.image.components import fill_holes
from pocketeye.tracking.image.resize import enlarged_mask
from pocketeye.tracking.video.distractors import AnchorWatch
from pocketeye.tracking.video.memory import FrameOutput, ObjectMemory, PromptedFrame

Case = dict[str, Any]


def make() -> dict[str, list[Case]]:
    """Return all cases, plain enough for JSON."""
    rng = random.Random(0)
    return {
        "memory": [_memory(rng, rule, slots) for rule in MemoryRule for slots in (3, 7)],
        "anchors": [_anchors(rng)],
        "holes": [_holes(rng) for _ in range(4)],
        "enlarged": [_enlarged(rng, size) for size in ((11, 17), (8, 8), (5, 23))],
        "resized": [_resized(rng, *sizes) for sizes in _SIZES],
        "runs": [_runs(rng)],
        "fitted": [_fitted(rng, size) for size in ((7, 11), (13, 5), (8, 8))],
        "labelled": [_labelled(rng)],
        "detected": [_detected(rng, score) for score in (0.3, 0.6)],
        "colors": [{"id": number, "color": list(color_of(number))} for number in range(1, 40)],
    }


_SIZES = (
    ((9, 13), (5, 7), "bicubic"), ((6, 5), (11, 8), "bicubic"), ((20, 3), (4, 3), "bilinear"),
    ((7, 7), (7, 3), "bilinear"),
)  # fmt: skip


def _memory(rng: random.Random, rule: MemoryRule, num_slots: int) -> Case:
    """Prompt and track one object at random; maps and pointers are their names."""
    memory, steps, frame, reverse = ObjectMemory(1, num_slots, 5, 5, rule), [], 5, False
    for number in range(40):
        if number == 0 or rng.random() < 0.12:
            frame = max(0, frame + (0 if number == 0 else rng.choice([-7, -2, 0, 3])))
            answer = _answer(f"p{number}", 1.0)
            memory.prompt(frame, PromptedFrame(answer, (), ()), max_prompted=3)
            steps.append({"do": "prompt", "frame": frame, "name": f"p{number}", "most": 3})
            continue
        if rng.random() < 0.1:
            reverse = not reverse
        frame = max(0, frame + (-1 if reverse else 1))
        memory.settle()
        step: Case = {"do": "track", "frame": frame, "reverse": reverse, "reads": None}
        if memory.is_due(frame, reverse):
            memory.tracked.add(frame)
            reading = memory.reading(frame, reverse)
            if reading is not None:
                step["reads"] = {
                    "maps": list(reading.maps),
                    "slots": list(reading.slots),
                    "pointers": list(reading.pointers),
                }
            if frame not in memory.prompted:
                score, anchor = rng.choice([-1.0, 2.0, 2.0]), rng.random() < 0.2
                memory.remember(frame, _answer(f"t{number}", score), anchor)
                step |= {"name": f"t{number}", "score": score, "anchor": anchor}
        steps.append(step)
    return {"rule": rule.value, "num_slots": num_slots, "first": 5, "steps": steps}


def _answer(name: str, score: float) -> FrameOutput:
    return FrameOutput(np.zeros((1, 1, 1, 1), np.float32), score, name, name)  # type: ignore[arg-type]


def _blob(rng: random.Random, height: int, width: int, share: float) -> np.ndarray:
    values = [[rng.uniform(-1, 1) + share for _ in range(width)] for _ in range(height)]
    # Few digits: the same numbers in both languages, and a short file.
    return np.array(values, np.float32).round(2)


def _anchors(rng: random.Random) -> Case:
    watch, frames = AnchorWatch(), []
    for frame in range(0, 40, 2):
        mask = np.full((8, 10), -1.0, np.float32)
        mask[2:5, 2 : 5 + rng.randint(0, 1)] = 1
        other = mask.copy()
        if rng.random() < 0.6:
            other[5 : 5 + rng.randint(1, 3), 6:9] = 1
        iou = rng.choice([0.7, 0.9, 0.95])
        found = watch.is_anchor(frame, mask, np.stack([mask, other]), iou)
        masks = [mask.reshape(-1).tolist(), other.reshape(-1).tolist()]
        frames.append({"frame": frame, "masks": masks, "iou": iou, "anchor": found})
    assert any(f["anchor"] for f in frames)
    return {"shape": [8, 10], "frames": frames}


def _holes(rng: random.Random) -> Case:
    logits = _blob(rng, 9, 11, 0.4)
    filled = fill_holes(logits[None], 3)[0]
    assert (filled != logits).any()
    return {"shape": [9, 11], "most": 3, "logits": _flat(logits), "filled": _flat(filled)}


def _enlarged(rng: random.Random, size: tuple[int, int]) -> Case:
    logits = _blob(rng, 6, 7, 0.0)
    mask = enlarged_mask(logits, *size).astype(int)
    return {"shape": [6, 7], "to": list(size), "logits": _flat(logits), "mask": _flat(mask)}


def _resized(rng: random.Random, shape: tuple[int, int], to: tuple[int, int], how: str) -> Case:
    pixels = np.array(
        [rng.randrange(256) for _ in range(shape[0] * shape[1] * 3)], np.uint8
    ).reshape(*shape, 3)
    found = Image.fromarray(pixels).resize(to[::-1], Image.Resampling[how.upper()])
    return {
        "shape": list(shape), "to": list(to), "filter": how,
        "pixels": _flat(pixels), "resized": _flat(np.asarray(found)),
    }  # fmt: skip


def _runs(rng: random.Random) -> Case:
    mask = _blob(rng, 5, 6, 0.0) > 0
    rle = CompactMask.from_dense(mask).to_rle(compressed=False)
    return {"shape": [5, 6], "mask": _flat(mask.astype(int)), "counts": list(rle["counts"])}


_CANVAS, _MEAN, _STD = (8, 12), (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _fitted(rng: random.Random, shape: tuple[int, int]) -> Case:
    pixels = np.array([rng.randrange(256) for _ in range(shape[0] * shape[1] * 3)], np.uint8)
    found, size = prepare(pixels.reshape(*shape, 3), _CANVAS, _MEAN, _STD)
    return {
        "said": {"canvas": list(_CANVAS), "mean": list(_MEAN), "std": list(_STD)},
        "shape": list(shape), "pixels": _flat(pixels), "size": list(size), "input": _flat(found),
    }  # fmt: skip


def _labelled(rng: random.Random) -> Case:
    logits = np.stack([_blob(rng, 4, 6, 0.0) for _ in range(5)])
    size, original = (8, 10), (11, 14)
    return {
        "canvas": list(_CANVAS), "logits": _flat(logits), "shape": [5, 4, 6], "size": list(size),
        "original": list(original), "small": _flat(label_map(logits, _CANVAS, size)),
        "labels": _flat(label_map(logits, _CANVAS, size, original)),
    }  # fmt: skip


def _detected(rng: random.Random, score: float) -> Case:
    """Decode two levels of random maps: boxes that overlap, equal logits, classes that compete."""
    said: Case = {
        "num_classes": 3, "strides": [8, 16], "sizes": [[12.0, 16.0], [30.0, 40.0]],
        "aspect_ratios": [0.5, 1.0, 2.0], "score_thresh": score, "nms_thresh": 0.5,
        "topk_candidates": 40, "detections_per_img": 25,
    }  # fmt: skip
    shapes, anchors, size, original = ((4, 6), (2, 3)), 6, (32, 44), (64, 99)
    maps = [
        np.concatenate([_blob(rng, *shape, 0.0) for _ in range(depth * anchors)])
        .reshape(1, depth * anchors, *shape).round(1)
        for depth in (3, 4) for shape in shapes
    ]  # fmt: skip
    [found] = RetinaDecoder(**said)(maps, size, original)
    assert 5 < len(found.boxes) <= 25
    return {
        "said": said, "maps": [_flat(one) for one in maps], "shapes": [list(s) for s in shapes],
        "size": list(size), "original": list(original), "boxes": found.boxes.tolist(),
        "scores": _flat(found.scores), "labels": _flat(found.labels),
    }  # fmt: skip


def _flat(array: np.ndarray) -> list[Any]:
    # Six digits tell all float32 of two decimals apart.
    return [round(x, 6) for x in array.reshape(-1).tolist()]
