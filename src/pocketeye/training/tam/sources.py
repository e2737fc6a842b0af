"""From the user's data sets to the clips that a tracker is trained and validated on.

Each set is told by its files: images with masks (COCO, SA-1B, label maps) or videos (DAVIS,
YouTube-VOS, MOSE, SA-V). Its own lists divide it into training and validation; of a set without such
lists every tenth sample is kept for validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pocketeye.data.clips.clips import ClipSource, MixedClips
from pocketeye.data.clips.geometry import Geometry
from pocketeye.data.clips.images import ImageClips
from pocketeye.data.clips.light import Colours
from pocketeye.data.clips.synthetic import SyntheticClips
from pocketeye.data.clips.videos import VideoClips, VideoFrames, VideoSampling
from pocketeye.data.files.readable import first_readable
from pocketeye.data.mask_sets.samples import MaskedImage, MaskSet, WorstImages, load_masks
from pocketeye.data.vos.layouts import load_videos
from pocketeye.data.vos.sequences import VideoSet
from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue, UserError
from pocketeye.training.tam.recipe import TamRecipe, samples_per_epoch

_VAL = ("dev", "val", "valid")
_EVERY = 10
_AS_IS = Geometry(degrees=0, shear=0, scale=(1.0, 1.0), flip=0, still=1)
_UNTOUCHED = Colours(brightness=0, contrast=0, saturation=0, grey=0)
_VAL_SEED = 1_000_003  # draws of validation are not those of training
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Part:
    """Some images of a set, as a gallery; a damaged one is replaced by another of these."""

    whole: MaskSet
    places: Sequence[int]
    late: dict[int, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.whole.source

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        """File of image ``index`` of these."""
        return self.whole.name(self.places[index])

    def usable(self, index: int) -> tuple[int, MaskedImage]:
        """Image ``index`` of these, or the first readable one of these after it."""
        return first_readable(self, index, lambda place: self.whole[self.places[place]])


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSets:
    """What was opened: for training, and for validation."""

    images: list[WorstImages] = field(default_factory=list)
    videos: list[VideoSet] = field(default_factory=list)
    val_images: list[WorstImages] = field(default_factory=list)
    val_videos: list[VideoSet] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What there is, a line for each set."""
        return [
            *(f"{gallery.source}: {len(gallery):,} images with masks" for gallery in self.images),
            *(f"{videos.source}: {len(videos):,} videos" for videos in self.videos),
        ]


def open_sets(paths: Sequence[str]) -> DataSets:
    """Open the user's sets.

    Raises:
        MissingFile, InvalidValue: nothing there, or no layout that is known.
    """
    sets = DataSets()
    for path in paths:
        if is_video_set(Path(path)):
            train, val = _divided(path, load_videos)
            if val is not None:  # a list of first frames alone validates nothing
                val = _only(val, [len(video.annotated) > 1 for video in val])
            if val is None or not len(val):
                train, val = _tenths_of_videos(train)
            sets.videos.append(train)
            sets.val_videos.append(val)
            sets.problems.extend((*train.problems, *val.problems))
        else:
            images, held = _divided(path, load_masks)
            sets.problems.extend(images.problems)
            if held is None:
                ours, theirs = _tenths(len(images))
                sets.images.append(Part(images, ours))
                sets.val_images.append(Part(images, theirs))
            else:
                sets.problems.extend(held.problems)
                sets.images.append(images)
                sets.val_images.append(held)
    return sets


def is_video_set(root: Path) -> bool:
    """Whether a folder has the layout of one of the video sets."""
    bases = (root, root / "train", *(root / name for name in _VAL))
    names = ("JPEGImages", "JPEGImages_24fps")
    framed = any((base / name).is_dir() for base in bases for name in names)
    return framed or next(root.glob("**/*_manual.json"), None) is not None


def training_clips(sets: DataSets, config: TamRecipe, size: int) -> ClipSource:
    """The mixture that a recipe asks for, with :func:`samples_per_epoch` samples.

    Raises:
        InvalidValue: there is nothing to make such clips of.
    """
    length = samples_per_epoch(config)
    galleries = [*sets.images, *(VideoFrames(videos) for videos in sets.videos)]
    images = MixedClips(
        [
            (ImageClips(gallery, size=size, max_objects=config.max_objects), _weight(len(gallery)))
            for gallery in galleries
        ],
        length,
        config.seed,
    )  # fmt: skip
    if not config.trains_memory:
        return images
    clips = _moving(sets, galleries, config, size, length)
    if not config.image_share:
        return clips
    world = max(rank_and_world()[1], config.num_processes)
    return MixedClips(
        [(clips, 1 - config.image_share), (images, config.image_share)],
        length, config.seed, group=config.batch_size * world,
    )  # fmt: skip


def _moving(
    sets: DataSets, galleries: Sequence[WorstImages], config: TamRecipe, size: int, length: int
) -> ClipSource:
    parts: list[tuple[ClipSource, float]] = []
    synthetic_share = config.synthetic_share if sets.videos else 1.0
    if sets.videos and synthetic_share < 1:
        sampling = VideoSampling(num_frames=config.num_frames)
        videos = [
            (VideoClips(each, size=size, max_objects=config.max_objects, sampling=sampling),
             _weight(len(each)))
            for each in sets.videos
        ]  # fmt: skip
        parts.append((MixedClips(videos, length, config.seed), 1 - synthetic_share))
    if synthetic_share > 0:
        synthetic = SyntheticClips(
            [(gallery, _weight(len(gallery))) for gallery in galleries],
            length,
            num_frames=config.num_frames,
            size=size,
            max_objects=config.max_objects,
        )
        parts.append((synthetic, synthetic_share))
    return MixedClips(parts, length, config.seed)


def validation_clips(sets: DataSets, config: TamRecipe, size: int) -> ClipSource:
    """``val_clips`` samples, always the same, without augmentation.

    For ``track`` of the videos kept for it, or, with images alone, synthetic clips of those.
    """
    seed = config.seed + _VAL_SEED
    frames = [VideoFrames(videos) for videos in sets.val_videos]
    galleries: list[WorstImages] = [*sets.val_images, *frames]
    if not config.trains_memory:
        images: list[tuple[ClipSource, float]] = [
            (ImageClips(gallery, size=size, max_objects=config.max_objects,
                          geometry=_AS_IS, colours=_UNTOUCHED), _weight(len(gallery)))
            for gallery in galleries
        ]  # fmt: skip
        return MixedClips(images, config.val_clips, seed)
    if not sets.val_videos:
        return SyntheticClips(
            [(gallery, _weight(len(gallery))) for gallery in galleries], config.val_clips,
            num_frames=config.val_frames, size=size, max_objects=config.max_objects,
            colours=_UNTOUCHED, seed=seed,
        )  # fmt: skip
    sampling = VideoSampling(num_frames=config.val_frames, reversed=0)
    videos: list[tuple[ClipSource, float]] = [
        (
            VideoClips(
                each, config.val_clips, size=size, max_objects=config.max_objects,
                sampling=sampling, geometry=_AS_IS, colours=_UNTOUCHED, seed=seed,
            ),
            _weight(len(each)),
        )
        for each in sets.val_videos
    ]  # fmt: skip
    return videos[0][0] if len(videos) == 1 else MixedClips(videos, config.val_clips, seed)


def _weight(count: int) -> float:
    """A set ten times as large is drawn from three times as often."""
    return math.sqrt(count)


def _divided(path: str, load: Callable[..., T]) -> tuple[T, T | None]:
    """The set's own division, as far as it has one; else the whole."""
    try:
        train = load(path, "train")
    except UserError:
        return load(path), None
    for split in _VAL:
        try:
            return train, load(path, split)
        except UserError:
            continue
    return train, None


def _tenths(count: int) -> tuple[list[int], list[int]]:
    if count < 2:
        raise InvalidValue(f"one sample is too few: one part trains, another validates ({count})")
    held = list(range(0, count, _EVERY))
    return [place for place in range(count) if place % _EVERY], held


def _tenths_of_videos(videos: VideoSet) -> tuple[VideoSet, VideoSet]:
    ours, _ = _tenths(len(videos))
    keep = [place in set(ours) for place in range(len(videos))]
    return _only(videos, keep), _only(videos, [not kept for kept in keep])


def _only(videos: VideoSet, keep: Sequence[Any]) -> VideoSet:
    kept = tuple(video for video, wanted in zip(videos, keep, strict=True) if wanted)
    return replace(videos, sequences=kept)
