"""Tell what the user names to look at: images or videos."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pocketeye.data import SUFFIXES
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.data.files.sources import walk
from pocketeye.data.inputs import as_list, names_images
from pocketeye.data.video.names import is_video_name
from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.models.backbones.packaged import DEFAULT_CLASSIFIER, EXTRA, PACKAGED
from pocketeye.models.reference import network_at
from pocketeye.tracking.io.source import is_address


def network_and_images(model: Any, images: Any) -> tuple[str | None, list[Any]]:
    """Tell network and images apart: the network may be left out, and then comes the first image.

    Raises:
        InvalidValue: there is nothing to look at.
    """
    given = as_list(images)
    # A path may name a network as well.
    if isinstance(model, Path):
        model = str(model)
    if model is not None and not isinstance(model, str):
        given, model = [*as_list(model), *given], None
    # What is no network but looks like an image is one: the network was left out.
    elif model is not None and names_images(model) and network_at(Path(model)) is None:
        given, model = [model, *given], None
    if not given:
        named = shlex.quote(model or "NETWORK")
        raise InvalidValue(f"say what to look at: pocketeye predict {named} IMAGE …")
    return model, given


def names_videos(named: Sequence[Any]) -> bool:
    """Return whether names are of videos: files, folders and patterns of them, addresses of streams.

    A folder with an image in it, and a GIF, are images here.

    Raises:
        InvalidValue: some are, and some are not.
    """
    # By name alone: opening each to look would take long.
    marks = [isinstance(name, str | Path) and _names_video(str(name)) for name in named]
    if any(marks) and not all(marks):
        video, other = named[marks.index(True)], named[marks.index(False)]
        raise InvalidValue(
            f"{video} is a video and {other} is none: give videos and images to commands of their own"
        )
    return any(marks)


def _names_video(name: str) -> bool:
    path = Path(name)
    if path.is_dir():
        suffixes = {Path(inside).suffix.lower() for inside, _ in walk(path)}
        # Frames of a video as images, and a folder of clips, look alike but for the suffixes.
        return not suffixes & SUFFIXES and any(is_video_name(f"x{s}") for s in suffixes)
    if is_address(name):
        web = name.lower().startswith("http")
        return not web or _is_video_file(Path(urlsplit(name).path))
    if has_pattern(name):
        found = matches(name)
        return bool(found) and all(_is_video_file(match) for match in found)
    return _is_video_file(path)


def _is_video_file(path: Path) -> bool:
    return is_video_name(path) and path.suffix.lower() not in SUFFIXES


def default_classifier(checkpoint: Path | None, classes: Path | None) -> str:
    """Return the name of the network that answers where the user named none.

    Raises:
        InvalidValue: options that belong to a network of the user's.
        MissingExtra: its weights are not installed.
    """
    for option, value in (("--checkpoint", checkpoint), ("--classes", classes)):
        if value is not None:
            raise InvalidValue(
                f"{option} goes with a network: name it, pocketeye predict NETWORK IMAGE …"
            )
    weights = PACKAGED[DEFAULT_CLASSIFIER]
    if weights.installed is None:
        raise MissingExtra("pocketeye predict without a network's name", weights.package, EXTRA)
    return weights.name
