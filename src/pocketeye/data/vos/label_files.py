"""Read DAVIS, YouTube-VOS and MOSE: a file of ids for each annotated frame of a clip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pocketeye.data.files import Problems, read_text
from pocketeye.data.vos.clip_files import (
    ClipFiles,
    folders_in,
    read_frames,
    read_masks,
)
from pocketeye.data.vos.masks import LabelFiles
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.errors import InvalidValue, unknown
from pocketeye.reading import parse_json


def read_labels(clip: ClipFiles, problems: Problems) -> VideoSequence | None:
    """Look at the files of a clip; None, with the reason in ``problems``, where it cannot be used."""
    frames = read_frames(clip, problems)
    if frames is None:
        return None
    good = read_masks(clip, clip.masks, frames, problems)
    if not good:
        problems.say(f"{clip.name}: not one mask that can be used; left out")
        return None
    return VideoSequence(
        name=clip.name,
        size=frames.size,
        frames=frames.images,
        masks=LabelFiles(good, frames.size),
        known_first=_first_frames(clip, frames.numbers, good),
        num_lost=len(_listed(clip, frames.numbers) - good.keys()),
        collector=problems,
    )


def resolution_folders(images: Path, masks: Path, wanted: str | None) -> tuple[Path, Path]:
    both = [p.name for p in folders_in(images) if (masks / p.name).is_dir()]
    if wanted is not None and wanted not in both:
        raise unknown("resolution", wanted, both)
    if not both:
        raise InvalidValue(
            # 480p is what the benchmark is scored at.
            f"{images} and {masks} have no folder of a resolution in common, such as 480p"
        )
    name = wanted or ("480p" if "480p" in both else both[0])
    return images / name, masks / name


def listed_objects(path: Path, problems: Problems) -> dict[str, dict[int, tuple[str, ...]]]:
    """Read YouTube-VOS's list: the names of the frames of each object of each clip."""
    if not path.is_file():
        return {}
    try:
        videos = parse_json(read_text(path))["videos"]
        return {
            name: {int(i): tuple(o["frames"]) for i, o in entry["objects"].items()}
            for name, entry in videos.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problems.say(f"meta.json cannot be used ({error}): objects are taken from the masks")
        return {}


def _listed(clip: ClipFiles, numbers: Mapping[str, int]) -> set[int]:
    """Return the frames in which the data set's list has an object."""
    objects = clip.objects or {}
    return {numbers[name] for names in objects.values() for name in names if name in numbers}


def _first_frames(
    clip: ClipFiles, numbers: Mapping[str, int], good: dict[int, Path]
) -> dict[int, int] | None:
    """Return them as the set lists them; None where it does not, or a listed mask is missing."""
    if not clip.objects:
        return None
    first = {}
    for object_id, frames in clip.objects.items():
        known = sorted(numbers[name] for name in frames if name in numbers)
        # A list that does not fit the files is not believed.
        if not known or known[0] not in good:
            return None
        first[object_id] = known[0]
    return first
