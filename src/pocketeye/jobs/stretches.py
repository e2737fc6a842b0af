"""Keep what was found in a long video, stretch by stretch, until all of it is there.

In a hidden folder beside the video's outputs lies for each stretch a file of its results, and of the
last one what the session remembered at its end. Whoever goes on, on whatever machine, loses one stretch
at most. The outputs are written when all is there, so they are those of a video tracked in one go.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pocketeye.errors import InvalidValue
from pocketeye.reading import parse_json
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.runs import make_folder, write_atomic
from pocketeye.tracking.video.tracked import TrackedFrame

_RESULTS = re.compile(r"frames-(\d{8})-(\d{8})\.safetensors")
_STATE = "state-{:08d}.safetensors"


class Stretch:
    """Gather the results of a stretch, small: masks as their packed bits, and no images."""

    def __init__(self) -> None:
        self._frames: list[dict[str, Any]] = []
        self._bits: list[bytes] = []
        self._numbers: dict[str, list[np.ndarray]] = {"scores": [], "confidence": []}

    def add(self, result: Result) -> None:
        assert isinstance(result, TrackedFrame)  # sessions give no others
        assert result.masks is not None
        masks = [[mask.box, mask.area, len(mask.bits)] for mask in result.masks]
        self._frames.append(
            {
                "frame": result.frame, "size": result.size, "ids": result.ids, "masks": masks,
                "labels": result.labels, "sure": result.confidence is not None,
                "non_overlapping": result.non_overlapping,
            }
        )  # fmt: skip
        self._bits += [mask.bits for mask in result.masks]
        for name, values in self._numbers.items():
            value = getattr(result, name)
            if value is not None:
                values.append(np.asarray(value, np.float32))

    def to_bytes(self, rows: list[dict[str, Any]], seconds: float) -> bytes:
        said = {"frames": self._frames, "rows": rows, "seconds": seconds}
        arrays = {
            "said": np.frombuffer(json.dumps(said).encode(), np.uint8),
            "bits": np.frombuffer(b"".join(self._bits), np.uint8),
        }
        for name, values in self._numbers.items():
            arrays[name] = np.concatenate([np.zeros(0, np.float32), *values])
        return bytes(save(arrays))


@dataclass
class Stretches:
    """Read and write the stretches of one video.

    Attributes:
        folder: that holds them; it need not be there.
        rows, seconds: see :class:`pocketeye.jobs.record.TrackedVideo`; filled by :meth:`results`.
    """

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def beside(cls, target: Path, settings: Mapping[str, Any]) -> Stretches:
        """Return those of the video whose first output this is, made with the very same settings."""
        stem = target.stem if target.suffix else target.name
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        return cls(target.with_name(f".{stem}.stretches-{digest[:8]}"))

    def position(self, start: int) -> int:
        """Return the frame before which all are there, counted from ``start``."""
        found = {first: stop for first, stop, _ in self._files()}
        position = best = start
        while position in found:
            position = found[position]
            # Results without what was remembered after them cannot be gone on from.
            best = position if (self.folder / _STATE.format(position)).is_file() else best
        return best

    def state(self, position: int) -> bytes:
        """Return what the session remembered before a frame.

        Raises:
            InvalidValue: it cannot be read.
        """
        path = self.folder / _STATE.format(position)
        try:
            return path.read_bytes()
        except OSError as error:
            raise InvalidValue(f"{path} cannot be read: {error.strerror or error}") from error

    def add(
        self, start: int, stop: int, stretch: Stretch, rows: list[dict[str, Any]], seconds: float,
        state: bytes,
    ) -> None:  # fmt: skip
        """Keep a stretch; what was remembered before it is forgotten.

        Raises:
            InvalidValue: the disk is full, or the folder cannot be written.
        """
        make_folder(self.folder)
        for first, _, other in self._files():
            if first >= start:  # of somebody who died before these counted
                other.unlink(missing_ok=True)
        path = self.folder / f"frames-{start:08d}-{stop:08d}.safetensors"
        write_atomic(path, stretch.to_bytes(rows, seconds))
        # Last: by it the stretch counts.
        write_atomic(self.folder / _STATE.format(stop), state)
        for old in self.folder.glob("state-*"):
            if old.name != _STATE.format(stop):
                old.unlink(missing_ok=True)

    def results(self, frames: Iterable[tuple[int, np.ndarray]], start: int) -> Iterator[Result]:
        """Yield the results again, over their images; fills ``rows`` and ``seconds``.

        Args:
            frames: numbers and images, from ``start``.

        Raises:
            InvalidValue: a file is damaged.
        """
        images = iter(frames)
        position = start
        for first, stop, path in sorted(self._files()):
            if first != position:
                raise InvalidValue(
                    f"{self.folder} lacks the frames from {position}: track the video again with "
                    "--overwrite"
                )
            position = stop
            said, results = _read(path)
            self.rows += said["rows"]
            self.seconds += float(said["seconds"])
            for result in results:
                number, image = next(images)
                assert number == result.frame
                yield result.with_image(image)

    def _files(self) -> list[tuple[int, int, Path]]:
        found = []
        with suppress(OSError):
            for path in self.folder.iterdir():
                if match := _RESULTS.fullmatch(path.name):
                    found.append((int(match[1]), int(match[2]), path))
        return found


def _read(path: Path) -> tuple[Mapping[str, Any], list[Result]]:
    """Return what a file says, and its results without their images.

    Raises:
        InvalidValue: it is damaged.
    """
    try:
        arrays = load(path.read_bytes())
        said = parse_json(arrays["said"].tobytes())
        return said, list(_results(said["frames"], arrays))
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InvalidValue(
            f"{path} is damaged ({error!s:.80}): track the video again with --overwrite"
        ) from error


def _results(
    frames: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]
) -> Iterator[TrackedFrame]:
    bits, at, place, sure = arrays["bits"].tobytes(), 0, 0, 0
    for row in frames:
        size, items, count = tuple(row["size"]), [], len(row["ids"])
        for box, area, length in row["masks"]:
            items.append(
                CompactMask(size=size, box=tuple(box), area=area, bits=bits[at : at + length])
            )
            at += length
        confidence = None
        if row["sure"]:
            confidence, sure = arrays["confidence"][sure : sure + count], sure + count
        yield TrackedFrame(
            size=size, masks=Masks(size=size, items=tuple(items)), object_ids=row["ids"],
            scores=arrays["scores"][place : place + count], labels=row["labels"],
            frame=row["frame"], non_overlapping=row["non_overlapping"], confidence=confidence,
            low_res_masks=np.zeros((count, 1, 0, 0), np.float32),  # writers ask for no logits
        )  # fmt: skip
        place += count
