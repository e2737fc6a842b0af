"""Read MOTChallenge's lines: frame, id, left, top, width, height, confidence, class, visibility.

What writes them frame by frame is :class:`pocketeye.tracking.io.write_files.MotFile`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pocketeye.data.files import Problems
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, finite

_FEWEST = 6  # numbers of a line: a detector's has no class, a tracker's no visibility


def is_mot(text: str) -> bool:
    """Tell whether a text is MOTChallenge's, by its first line."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    return len(line.split(",")) >= _FEWEST and _numbers(line) is not None


def read_mot(text: str, names: list[str], problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the frames in order; frames, ids, pixels and classes count from 1 in the file.

    Args:
        names: of the classes, as ``NAME.labels.txt`` has them; empty for none.
    """
    by_frame: dict[int, dict[int, LabelledObject]] = {}
    for place, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        numbers = _numbers(line)
        if numbers is None or not _is_sound(numbers):
            problems.add(f"line {place}", "no object of MOT: left out")
            continue
        frame, number, left, top, width, height = numbers[:6]
        kind = int(numbers[7]) if len(numbers) > 7 else 0
        # A confidence of 0 marks what is not to be counted in the truth of a benchmark.
        sure = numbers[6] if len(numbers) > 6 and 0 <= numbers[6] <= 1 else None
        by_frame.setdefault(int(frame) - 1, {})[int(number)] = LabelledObject(
            object_id=int(number), label=names[kind - 1] if 0 < kind <= len(names) else "",
            box=(left - 1, top - 1, left - 1 + width, top - 1 + height), score=sure,
        )  # fmt: skip
    for frame in sorted(by_frame):
        yield LabelledFrame(frame=frame, objects=tuple(by_frame[frame].values()))


def _numbers(line: str) -> list[float] | None:
    try:
        return [finite(part) for part in line.split(",") if part.strip()]
    except ValueError:
        return None


def _is_sound(numbers: list[float]) -> bool:
    return (
        len(numbers) >= _FEWEST and numbers[0] >= 1 and numbers[1] >= 1
        and numbers[4] > 0 and numbers[5] > 0
    )  # fmt: skip
