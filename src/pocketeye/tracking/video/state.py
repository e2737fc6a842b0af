"""Turn what a session remembers into bytes, and back.

The bytes are a file of safetensors: arrays, and under ``said`` the JSON of everything else. Nothing in
them is run.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pocketeye.errors import InvalidValue
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.reading import parse_json
from pocketeye.tracking.video.memory import FrameOutput, ObjectMemory, PromptedFrame, Ring
from pocketeye.tracking.video.objects import TrackedObjects
from pocketeye.tracking.video.signals import Signals

_SCHEMA = "pocketeye session 1"


class _Packing:
    """Give numbers to arrays, maps and answers, so that what is shared is kept once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, int]] = {"array": {}, "map": {}, "answer": {}}
        self.arrays: list[np.ndarray] = []
        self.maps: list[Any] = []
        self.answers: list[dict[str, Any]] = []

    def array(self, value: np.ndarray) -> int:
        return self._number("array", value, self.arrays, value)

    def map(self, value: Any) -> int:
        return self._number("map", value, self.maps, value)

    def answer(self, value: FrameOutput) -> int:
        row = {
            "masks": self.array(value.low_res_masks), "score": value.score,
            "pointer": self.array(value.pointer), "signals": value.signals,
            "map": None if value.map is None else self.map(value.map),
        }  # fmt: skip
        return self._number("answer", value, self.answers, row)

    def _number(self, kind: str, value: Any, items: list[Any], item: Any) -> int:
        known = self._known[kind]
        if id(value) not in known:  # all of them live as long as the session
            known[id(value)] = len(items)
            items.append(item)
        return known[id(value)]


def pack(objects: TrackedObjects, said: Mapping[str, Any], image: np.ndarray | None) -> bytes:
    """Return what is remembered of objects as bytes.

    Args:
        said: plain values of the session, which :func:`unpack` returns.
        image: the last frame, where it must be kept.

    Raises:
        InvalidValue: the engine's maps cannot leave it.
    """
    packing = _Packing()
    rows = [_object_row(memory, packing) for memory in objects.memories.values()]
    maps, maps_said = objects.engine.pack_maps(packing.maps)
    whole = {
        "schema": _SCHEMA, "fingerprint": objects.engine.fingerprint(),
        "engine": type(objects.engine).__name__, "options": _options(objects),
        "session": dict(said), "reverse": objects.reverse, "objects": rows,
        "answers": packing.answers, "maps": maps_said,
    }  # fmt: skip
    arrays = {"said": np.frombuffer(json.dumps(whole).encode(), np.uint8)}
    arrays |= {f"array.{n}": np.ascontiguousarray(a) for n, a in enumerate(packing.arrays)}
    arrays |= {f"map.{name}": array for name, array in maps.items()}
    if image is not None:
        arrays["image"] = np.ascontiguousarray(image)
    return bytes(save(arrays))


def unpack(state: bytes, objects: TrackedObjects) -> tuple[Mapping[str, Any], np.ndarray | None]:
    """Fill ``objects``, which are empty, with what is in bytes; return what was said of the session.

    Raises:
        InvalidValue: damaged, or of another tracker or other options.
    """
    try:
        arrays = load(state)
        whole = parse_json(arrays["said"].tobytes())
        if whole["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {whole['schema']!r:.40}")
        _compare(whole, objects)
        session = {
            key: whole["session"][key] for key in ("size", "frame", "removed", "next_pushed")
        }
        _fill(objects, whole, arrays)
    except InvalidValue:
        raise
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidValue(
            f"these {len(state)} bytes are not the state of a session, or damaged ({error!s:.80})"
        ) from error
    return session, arrays.get("image")


def _options(objects: TrackedObjects) -> Any:
    options = asdict(objects.options) | {"memory_rule": str(objects.rule.value)}
    return json.loads(json.dumps(options))  # as it is read again


def _compare(whole: Mapping[str, Any], objects: TrackedObjects) -> None:
    """Refuse the state of a session that computes otherwise.

    Raises:
        InvalidValue: what differs.
    """
    if whole["fingerprint"] != objects.engine.fingerprint():
        raise InvalidValue(
            f"the state is of a session with other weights ({whole['fingerprint']}, here "
            f"{objects.engine.fingerprint()}): open it with the same tracker"
        )
    engine = type(objects.engine).__name__
    if whole["engine"] != engine:
        raise InvalidValue(
            f"the state is of a session that computes by {whole['engine']!s:.40}, here it is {engine}: "
            "name the same --engine"
        )
    then, now = whole["options"], _options(objects)
    differ = next((name for name in now if then.get(name) != now[name]), None)
    if differ is not None:
        raise InvalidValue(
            f"the state is of a session with {differ}={then.get(differ)!r}, here {now[differ]!r}: "
            "open it with the same options"
        )


def _object_row(memory: ObjectMemory, packing: _Packing) -> dict[str, Any]:
    prompted = [
        [frame, packing.answer(p.answer), p.points, p.labels, p.settled]
        for frame, p in memory.prompted.items()
    ]
    return {
        "id": memory.object_id, "num_slots": memory.num_slots, "first": memory.first,
        "last": memory.last, "rule": memory.rule.value, "prompted": prompted,
        "tracked": list(memory.tracked),
        "answers": [[frame, packing.answer(memory.answers[frame])] for frame in memory.answers],
        "maps": [[frame, packing.map(memory.maps[frame])] for frame in memory.maps],
        "pointers": [[frame, packing.array(memory.pointers[frame])] for frame in memory.pointers],
        "anchors": [[frame, packing.map(memory.anchors[frame])] for frame in memory.anchors],
        "areas": list(memory.watch.areas), "last_anchor": memory.watch.last,
    }  # fmt: skip


def _fill(
    objects: TrackedObjects, whole: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    prefix = "map."
    maps = objects.engine.unpack_maps(
        {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)},
        whole["maps"],
    )
    answers = [
        FrameOutput(
            low_res_masks=arrays[f"array.{row['masks']}"], score=float(row["score"]),
            pointer=arrays[f"array.{row['pointer']}"],
            map=None if row["map"] is None else maps[row["map"]],
            signals=None if row["signals"] is None else Signals(*row["signals"]),
        )
        for row in whole["answers"]
    ]  # fmt: skip
    for row in whole["objects"]:
        memory = ObjectMemory(
            row["id"], row["num_slots"], row["first"], row["last"], MemoryRule(row["rule"])
        )
        for frame, number, points, labels, settled in row["prompted"]:
            memory.prompted[frame] = PromptedFrame(
                answers[number], tuple((x, y) for x, y in points), tuple(labels), bool(settled)
            )
        memory.tracked.put([(first, last) for first, last in row["tracked"]])
        _put(memory.answers, row["answers"], answers)
        _put(memory.maps, row["maps"], maps)
        _put(memory.anchors, row["anchors"], maps)
        for frame, number in row["pointers"]:
            memory.pointers.put(frame, arrays[f"array.{number}"])
        memory.watch.areas = deque(row["areas"], maxlen=memory.watch.areas.maxlen)
        memory.watch.last = row["last_anchor"]
        objects.memories[memory.object_id] = memory
    objects.reverse = bool(whole["reverse"])


def _put(ring: Ring[Any], places: Any, items: list[Any]) -> None:
    for frame, number in places:
        ring.put(frame, items[number])
