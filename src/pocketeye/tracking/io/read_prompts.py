"""Take prompts from files of labels: where each object is seen first."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from pocketeye.data.files import Problems, UnreadableImage, files_in
from pocketeye.data.labelled.layouts import frame_numbers, read_labels
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, Size
from pocketeye.data.video.frames import Frames, ImageFiles
from pocketeye.data.vos.masks import read_ids, split_labels
from pocketeye.errors import InvalidValue
from pocketeye.reading import is_folder, read_json, require_file
from pocketeye.results import CompactMask
from pocketeye.tracking.video.frame_prompts import FramePrompt, inside_frame

logger = logging.getLogger(__name__)

_SAID = 5  # problems of a file that are logged one by one
_NAMES = "names.json"  # beside label images that we wrote


def read_prompts(
    path: Path, frames: Frames, start: int = 0, stop: int | None = None
) -> tuple[list[FramePrompt], dict[int, str]]:
    """Return a prompt for each object that a file shows in a frame that is tracked, and the names.

    Args:
        path: a file or folder of any layout that is read, also of label images (DAVIS).
        frames: of the video; where its images have the names that the file has, these tell the frames.
        start: the first frame that is tracked.
        stop: the frame before which tracking stops.

    Raises:
        MissingFile: nothing there.
        InvalidValue: no layout, no object in these frames, or an object outside of the image.
    """
    problems = Problems(str(path))
    last = frames.num_frames if stop is None else stop
    places = _places(frames)
    found: dict[int, FramePrompt] = {}
    names: dict[int, str] = {}
    for labelled in _frames(path, frames.size, problems):
        number = places.get(Path(labelled.name).stem, labelled.frame)
        # Tracks may be said to go on for ever: what comes after the video does not matter.
        if last is not None and labelled.frame >= last and number >= last:
            if not places:
                break
            continue
        for each in labelled.objects if number >= start else ():
            known = found.get(each.object_id)
            if known is None or number < known.frame:
                prompt = _prompt(each, number, labelled.size, frames)
                if prompt is not None:
                    found[each.object_id] = prompt
                    names |= {each.object_id: each.label} if each.label else {}
    for sentence in list(problems)[:_SAID]:
        logger.warning("%s: %s", path, sentence)
    if not found:
        raise InvalidValue(
            f"{path} shows no object in the frames of {frames.name} that are tracked (from {start})"
        )
    return sorted(found.values(), key=lambda p: (p.frame, p.object_id)), names


def _frames(path: Path, size: Size, problems: Problems) -> Iterator[LabelledFrame]:
    folder = is_folder(path)
    images = files_in(path, ".png") if folder else [path]
    pages = [f for f in files_in(path, ".json", ".xml") if f.name != _NAMES] if folder else []
    if images and not pages and images[0].suffix.lower() == ".png":
        return _label_images(path if folder else path.parent, images, size, problems)
    return read_labels(path, size, problems)


def _label_images(
    folder: Path, images: list[Path], size: Size, problems: Problems
) -> Iterator[LabelledFrame]:
    """Yield the objects of images whose pixels are ids."""
    names: dict[str, str] = {}
    if (folder / _NAMES).is_file():
        said = read_json(folder / _NAMES)
        names = {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else {}
    numbers = frame_numbers(images) if len(images) > 1 else [0]
    for number, image in sorted(zip(numbers, images, strict=True)):
        require_file(image, f"there is no file {image}")
        try:
            masks = split_labels(read_ids(image, size))
        except UnreadableImage as error:
            if len(images) == 1:
                raise InvalidValue(f"{image}: {error}") from error
            problems.add(image.name, f"{error}: left out")
            continue
        objects = tuple(
            LabelledObject(
                object_id=i, label=names.get(str(i), ""), mask=CompactMask.from_dense(mask)
            )
            for i, mask in masks.items()
            if i != 255  # DAVIS's void, which is no object
        )
        yield LabelledFrame(frame=number, name=image.name, size=size, objects=objects)


def _places(frames: Frames) -> dict[str, int]:
    """Return the frame of each image by its name; empty of anything but a folder of images."""
    if not isinstance(frames, ImageFiles):
        return {}
    return {Path(path).stem: number for number, path in enumerate(frames.paths)}


def _prompt(
    each: LabelledObject, frame: int, size: Size | None, frames: Frames
) -> FramePrompt | None:
    """Return what the object is shown by: its pixels, else its box, else its points; None of nothing.

    Raises:
        InvalidValue: it lies outside of the frame, or was made in frames of another size.
    """
    if size is not None and size != frames.size:
        raise InvalidValue(
            f"the labels are of images of {size[0]}x{size[1]}, and {frames.name} has "
            f"{frames.size[0]}x{frames.size[1]}"
        )
    width, height = frames.size
    outside = InvalidValue(
        f"object {each.object_id} lies outside of frame {frame} of {frames.name}, {width}x{height}"
    )
    mask = each.filled(frames.size)
    if mask is not None:
        if not mask.area:
            if each.mask is not None:
                return None
            raise outside
        return FramePrompt(each.object_id, frame, mask=mask)
    if each.box is not None:
        x0, y0, x1, y1 = each.box
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise outside
        return FramePrompt(each.object_id, frame, box=inside_frame(each.box, frames.size))
    if not all(0 <= x < width and 0 <= y < height for x, y in each.points):
        raise outside
    if not each.points:
        return None
    return FramePrompt(each.object_id, frame, [*each.points], [1] * len(each.points))
