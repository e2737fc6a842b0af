"""Make the clips that a tracker is trained and validated on from the user's data sets.

Each set is told by its files: images with masks (COCO, SA-1B, label maps) or videos (DAVIS,
YouTube-VOS, MOSE, SA-V). Its own lists divide it into training and validation; of a set without such
lists a fifth of the samples is held out (:mod:`pocketeye.data.files.splits`); a set of one sample
trains only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pocketeye.data import (
    SPLITS,
    MaskedImages,
    MaskSet,
    ObjectMasks,
    Problems,
    Sample,
    SampleSet,
    VideoSet,
    hold_out,
    load_masks,
    load_videos,
    split_layout,
)
from pocketeye.data.clips import (
    ClipSource,
    Colours,
    Geometry,
    ImageClips,
    MixedClips,
    OverlaidClips,
    SyntheticClips,
    VideoClips,
    VideoFrames,
    VideoSampling,
)
from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue, UserError
from pocketeye.training.tam.recipe import TamRecipe, samples_per_epoch

_AS_IS = Geometry(degrees=0, shear=0, scale=(1.0, 1.0), flip=0, still=1)
_UNTOUCHED = Colours(brightness=0, contrast=0, saturation=0, grey=0)
_VAL_SEED = 1_000_003  # added to the recipe's: validation draws other clips than training
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Part:
    """Give some images of a set, as a gallery; a damaged one is replaced by another of these."""

    whole: MaskSet
    places: Sequence[int]
    classes: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return self.whole.source

    @property
    def collector(self) -> Problems:
        return self.whole.collector

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems of the whole set."""
        return self.whole.problems

    def __len__(self) -> int:
        return len(self.places)

    def name(self, index: int) -> str:
        """Return the file of image ``index`` of these."""
        return self.whole.name(self.places[index])

    def read(self, index: int) -> Sample[ObjectMasks]:
        """Read image ``index`` of these and its masks."""
        return replace(self.whole.read(self.places[index]), index=index)


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSets:
    """Hold what was opened: for training, and for validation."""

    images: list[MaskedImages] = field(default_factory=list)
    videos: list[VideoSet] = field(default_factory=list)
    val_images: list[MaskedImages] = field(default_factory=list)
    val_videos: list[VideoSet] = field(default_factory=list)

    @property
    def problems(self) -> tuple[str, ...]:
        """Return sentences about what was left out; they grow while the sets are read."""
        sets: list[SampleSet[Any]] = [
            *self.images, *self.videos, *self.val_images, *self.val_videos,
        ]  # fmt: skip
        return tuple(dict.fromkeys(line for each in sets for line in each.problems))

    def lines(self) -> list[str]:
        """Return what there is, a line for each set."""
        return [
            *(_line_of(gallery) for gallery in self.images),
            *(f"{videos.source}: {len(videos):,} videos" for videos in self.videos),
        ]


def open_sets(paths: Sequence[str]) -> DataSets:
    """Open the user's sets.

    Raises:
        MissingFile, InvalidValue: nothing there, or no layout that is known.
    """
    sets = DataSets()
    for path in paths:
        # Told by the files alone: nobody has to name the layout of a set.
        if is_video_set(Path(path)):
            _open_videos(path, sets)
        else:
            _open_images(path, sets)
    if not sets.val_images and not sets.val_videos:
        raise InvalidValue(
            f"{', '.join(paths)}: one sample is too few, as one part trains and another validates"
        )
    return sets


def _open_videos(path: str, sets: DataSets) -> None:
    train, val = _load_splits(path, load_videos)
    if val is not None:  # a list of first frames alone validates nothing
        val = _only(val, [len(video.annotated) > 1 for video in val])
    if val is None or not len(val):
        train, val = _held_out_videos(train)
    sets.videos.append(train)
    if len(val):
        sets.val_videos.append(val)


def _open_images(path: str, sets: DataSets) -> None:
    folder, layout = split_layout(path)
    images, held = _load_splits(folder, partial(load_masks, layout=layout))
    if held is not None:
        sets.images.append(images)
        sets.val_images.append(held)
        return
    ours, theirs = hold_out(len(images))
    sets.images.append(Part(images, ours))
    if theirs:
        sets.val_images.append(Part(images, theirs))


def _line_of(gallery: MaskedImages) -> str:
    """Say how many images there are, and how label numbers are read, which their files do not tell."""
    whole = gallery.whole if isinstance(gallery, Part) else gallery
    layout = whole.layout if isinstance(whole, MaskSet) else ""
    note = {
        "parts": f" (numbers are parts of one thing; else give {gallery.source}:objects)",
        "objects": " (each number is an object)",
    }.get(layout, "")
    return f"{gallery.source}: {len(gallery):,} images with masks{note}"


def is_video_set(root: Path) -> bool:
    """Tell whether a folder has the layout of one of the video sets."""
    bases = (root, *(root / name for name in (*SPLITS["train"], *SPLITS["val"])))
    names = ("JPEGImages", "JPEGImages_24fps")  # DAVIS, YouTube-VOS and MOSE; SA-V
    framed = any((base / name).is_dir() for base in bases for name in names)
    return framed or next(root.glob("**/*_manual.json"), None) is not None


def training_clips(sets: DataSets, config: TamRecipe, size: int) -> ClipSource:
    """Make the mixture that a recipe asks for, with :func:`samples_per_epoch` samples.

    Raises:
        InvalidValue: there is nothing to make such clips of.
    """
    length = samples_per_epoch(config)
    # Frames of videos are images with masks, too.
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
    clips = _clips(sets, galleries, config, size, length)
    if not config.image_share:
        return clips
    # Images and clips have different lengths and cannot share a batch: whole batches, of all processes,
    # are drawn as one kind.
    world = max(rank_and_world()[1], config.num_processes)
    return MixedClips(
        [(clips, 1 - config.image_share), (images, config.image_share)],
        length, config.seed, group=config.batch_size * world,
    )  # fmt: skip


def _clips(
    sets: DataSets, galleries: Sequence[MaskedImages], config: TamRecipe, size: int, length: int
) -> ClipSource:
    """Make clips of ``num_frames`` frames: real, real with something laid over, and synthetic ones."""
    synthetic_share = config.synthetic_share if sets.videos else 1.0  # images alone do not move
    real_share = (1 - synthetic_share) * (1 - config.overlaid_share)
    overlaid_share = (1 - synthetic_share) * config.overlaid_share
    synthetic = SyntheticClips(
        [(gallery, _weight(len(gallery))) for gallery in galleries],
        length,
        num_frames=config.num_frames,
        size=size,
        max_objects=config.max_objects,
    )
    parts: list[tuple[ClipSource, float]] = [(synthetic, synthetic_share)]
    if sets.videos:
        sampling = VideoSampling(num_frames=config.num_frames)
        videos: list[tuple[ClipSource, float]] = [
            (VideoClips(each, size=size, max_objects=config.max_objects, sampling=sampling),
             _weight(len(each)))
            for each in sets.videos
        ]  # fmt: skip
        real = MixedClips(videos, length, config.seed)
        overlaid = OverlaidClips(
            real,
            synthetic.pool,
            length,
            num_frames=config.num_frames,
            size=size,
            max_objects=config.max_objects,
        )
        parts += [(real, real_share), (overlaid, overlaid_share)]
    return MixedClips([part for part in parts if part[1] > 0], length, config.seed)


def validation_clips(sets: DataSets, config: TamRecipe, size: int) -> ClipSource:
    """Make ``val_clips`` samples, always the same, without augmentation.

    For ``track`` they are of the videos kept for it, or, with images alone, synthetic clips of those.
    """
    seed = config.seed + _VAL_SEED
    frames = [VideoFrames(videos) for videos in sets.val_videos]
    galleries: list[MaskedImages] = [*sets.val_images, *frames]
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
    sampling = VideoSampling(num_frames=config.val_frames, reversed=0)  # as they were filmed
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
    """Weigh a set: one ten times as large is drawn from three times as often.

    In proportion, a large set would leave nothing of a small one; all alike, it would be repeated.
    """
    return math.sqrt(count)


def _load_splits(path: str, load: Callable[..., T]) -> tuple[T, T | None]:
    """Load the set's own division, as far as it has one; else the whole."""
    try:
        train = load(path, "train")
    except UserError:
        # No list of this name, so no division of its own; or no set at all, which this call then tells.
        return load(path), None
    try:
        return train, load(path, "val")
    except UserError:
        return train, None


def _held_out_videos(videos: VideoSet) -> tuple[VideoSet, VideoSet]:
    ours, _ = hold_out(len(videos))
    keep = [place in set(ours) for place in range(len(videos))]
    return _only(videos, keep), _only(videos, [not kept for kept in keep])


def _only(videos: VideoSet, keep: Sequence[Any]) -> VideoSet:
    kept = tuple(video for video, wanted in zip(videos, keep, strict=True) if wanted)
    return replace(videos, sequences=kept)
