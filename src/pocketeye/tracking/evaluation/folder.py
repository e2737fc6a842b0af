"""Read masks that were made elsewhere, in the folders of DAVIS or, for SA-V, in its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pocketeye.data.vos.masks import LabelFiles, MaskReader, ObjectFiles, count_text
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.results import CompactMask

Found = dict[str, dict[int, dict[int, CompactMask]]]


def read_folder(
    folder: Path, clips: Sequence[VideoSequence], wanted: Mapping[str, Mapping[int, Sequence[int]]]
) -> tuple[Found, list[str]]:
    """Return masks by clip, frame and object, and what lies in the folder that belongs to nothing.

    Args:
        wanted: by clip and object, the frames that are scored; others need not be there.

    Raises:
        MissingFile: no such folder. InvalidValue: not all masks are there and whole.
    """
    if not folder.is_dir():
        raise MissingFile(f"there is no folder {folder} of results")
    wrong: list[str] = []
    found: Found = {}
    for clip in clips:
        frames = sorted({frame for frames in wanted[clip.name].values() for frame in frames})
        # Only frames that are scored: DAVIS's first and last need not be there.
        found[clip.name] = _read_clip(folder / clip.name, clip, frames, wrong)
    if wrong:  # all at once: whoever made thousands of files wants to know of each kind
        total = sum(len(set().union(*w.values())) for w in wanted.values())
        raise InvalidValue(
            f"{folder} cannot be scored: {len(wrong)} of its masks are wrong (of {total} that are "
            f"needed): {'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''}"
        )
    names = {clip.name for clip in clips}
    # Told, not refused: results of a whole benchmark may be scored on a part of it.
    other = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name not in names)
    return found, [
        f"{folder}: results of clips not asked for: {count_text(other)}"
    ] if other else []


def _read_clip(
    folder: Path, clip: VideoSequence, frames: Sequence[int], wrong: list[str]
) -> dict[int, dict[int, CompactMask]]:
    files = {frame: _files(folder, clip, frame) for frame in frames}
    missing = {f: [p for p in paths.values() if not p.is_file()] for f, paths in files.items()}
    for frame, paths in missing.items():
        wrong += [f"{clip.name}/{path.relative_to(folder)} is missing" for path in paths]
        if paths:
            del files[frame]
    masks = {}
    reader = _reader(files, clip)
    for frame in files:
        objects = reader.objects(frame)
        if objects is None:
            wrong.append(f"{clip.name}/{reader.problems[frame]}")
            continue
        # An id too many is a mistake in the ids, which would otherwise show as a bad score.
        unknown = sorted(set(objects) - set(clip.object_ids))
        if unknown:
            wrong.append(
                f"{clip.name}/{clip.frame_name(frame)}.png has the ids "
                f"{', '.join(map(str, unknown))}, the clip {', '.join(map(str, clip.object_ids))}"
            )
        # No pixel of an object's id means that it was not found, which is an answer.
        nothing = np.zeros((clip.size[1], clip.size[0]), bool)
        masks[frame] = {i: CompactMask.from_dense(objects.get(i, nothing)) for i in clip.object_ids}
    return masks


def _files(folder: Path, clip: VideoSequence, frame: int) -> dict[int, Path]:
    """Return paths by object, as SA-V lays them out; or one for all of them, under 0."""
    name = f"{clip.frame_name(frame)}.png"
    if isinstance(clip.masks, ObjectFiles) and not (folder / name).is_file():
        # SA-V counts the folders of objects from 0.
        return {i: folder / f"{i - 1:03d}" / name for i in clip.object_ids}
    return {0: folder / name}


def _reader(files: Mapping[int, Mapping[int, Path]], clip: VideoSequence) -> MaskReader:
    # A clip is laid out one way: one frame of SA-V's makes it all SA-V's.
    if any(0 not in paths for paths in files.values()):
        return ObjectFiles(files, clip.size)
    return LabelFiles({frame: paths[0] for frame, paths in files.items()}, clip.size)
