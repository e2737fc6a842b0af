"""Find videos as users name them: files, folders of clips, folders of frames, patterns, cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from av.error import FFmpegError

from pocketeye import progress
from pocketeye.data.files.decode import SUFFIXES
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.data.video.names import is_video_name
from pocketeye.errors import InvalidValue, UserError
from pocketeye.jobs.storage import address_of, here
from pocketeye.reading import exists, is_folder
from pocketeye.text import file_stem
from pocketeye.tracking.io.source import is_address, natural_key
from pocketeye.tracking.video.frame_prompts import Request

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NamedVideo:
    """Hold a video that was not opened yet.

    Attributes:
        source: what :func:`pocketeye.tracking.open_video` takes.
        said: what messages call it: a path, a pattern, a camera's number.
        name: of the files that come of it; no other video of the same job has it.
        request: what is asked of it, where that differs from what the whole job asks.
        prompts: a file or folder of labels for it alone.
        begun: stretches of it were tracked before by the same job.
        frame: in which a detector looks, where that is another than for the whole job.
    """

    source: Any
    said: str
    name: str
    request: Request | None = None
    prompts: Path | None = None
    begun: bool = False
    frame: int | None = None

    @property
    def num_bytes(self) -> int | None:
        """Return the size of the file; None of anything but a file."""
        path = Path(self.source) if isinstance(self.source, str | Path) else None
        return path.stat().st_size if path is not None and path.is_file() else None


def find_videos(named: Any) -> list[NamedVideo]:
    """Return the videos in the order they were named, none of them opened.

    A folder of images is one video, any other folder is every video in it: files, and folders of
    images, in natural order. So is a pattern: images that match are the frames of one video for
    each folder, other files and folders are videos. A name that leads nowhere is returned as it
    is: opening it says what is wrong.

    Args:
        named: a path, a camera's number, frames (an array, a list of images, a generator), or a
            list of paths.

    Raises:
        InvalidValue: no name at all, or a folder in which there is no video.
    """
    if isinstance(named, str | Path):
        named = [named]
    paths = isinstance(named, Sequence) and all(isinstance(item, str | Path) for item in named)
    if not paths:
        what = f"camera {named}" if isinstance(named, int) else "the given frames"
        return [NamedVideo(source=named, said=what, name=file_stem(what.replace(" ", "_")))]
    if not named:
        raise InvalidValue("say which video: a file, a folder, a pattern or a camera's number")
    found = [each for name in named for each in _expand(here(str(name)))]
    if len(found) > 1 and all(isinstance(each, str) and _is_image(Path(each)) for each in found):
        found = [*_by_folder(Path(str(each)) for each in found)]  # a shell expands frames/*.jpg
    said = [each if isinstance(each, str) else str(each[0].parent) for each in found]
    return [
        NamedVideo(source=source, said=text, name=name)
        for source, text, name in zip(found, said, _different(said), strict=True)
    ]


def go_through(
    videos: Sequence[NamedVideo], work: Callable[[NamedVideo], T]
) -> tuple[list[T], list[str]]:
    """Do something with every video; one that is bad does not end it, unless it is the only one.

    Returns:
        What came of those that could be read, and a sentence about each other one.

    Raises:
        UserError: of the only video; or, if there are several, of none anything came.
    """
    # With one video its own error says more than that none could be used.
    if len(videos) == 1:
        return [work(videos[0])], []
    done: list[T] = []
    failed: list[str] = []
    with progress.task("videos", len(videos)) as bar:
        for video in videos:
            try:
                done.append(work(video))
            # A damaged video, a full disk or a frame too large: the others go on.
            except (UserError, OSError, FFmpegError, MemoryError) as error:
                failed.append(f"{video.said}: {error or type(error).__name__}")
            bar.advance()
    if not done:
        raise InvalidValue(f"none of {len(videos)} videos can be used; first: {failed[0]}")
    return done, failed


def prompts_for(prompts: Path, video: NamedVideo) -> Path:
    """Return the labels of a video: in a folder with one for each video the one of its name."""
    if not is_folder(prompts) or not isinstance(video.source, str | Path):
        return prompts
    stem = Path(video.source).stem if not is_folder(Path(video.source)) else Path(video.source).name
    places = (prompts / f"{stem}{suffix}" for suffix in ("", ".json", ".xml", ".txt", ".png"))
    return next((place for place in places if exists(place)), prompts)


def _expand(name: str) -> list[str | list[Path]]:
    path = Path(name)
    try:
        is_folder = path.is_dir()
    except OSError:  # too long to be the name of anything: opening it says so
        return [name]
    if is_folder:
        return _inside(path)
    if is_address(name) or address_of(name) or not has_pattern(name):
        return [name]
    # Hidden files are of the system.
    found = [match for match in _ordered(matches(name)) if not match.name.startswith(".")]
    videos = [str(match) for match in found if _is_video(match)]
    if videos:
        return [*videos]
    images = [match for match in found if match.is_file() and _is_image(match)]
    folders = _by_folder(images)
    # Of one folder: the pattern itself is opened, and its frames are counted there.
    return [name] if len(folders) < 2 else [*folders]


def _inside(folder: Path) -> list[str | list[Path]]:
    """Return a folder of frames itself, or the videos in a folder of videos."""
    if _holds_images(folder):
        return [str(folder)]
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    videos = [str(path) for path in _ordered(inside) if _is_video(path)]
    if not videos:
        other = ", ".join(path.name for path in _ordered(inside)[:3])
        raise InvalidValue(
            f"the folder {folder} holds neither images nor videos "
            f"({f'only {other}' if other else 'it is empty'})"
        )
    return [*videos]


def _is_video(path: Path) -> bool:
    return _holds_images(path) if path.is_dir() else is_video_name(path)


def _holds_images(folder: Path) -> bool:
    return any(
        path.is_file() and not path.name.startswith(".") and _is_image(path)
        for path in folder.iterdir()
    )


def _is_image(path: Path) -> bool:
    # Animated images are videos by their names.
    return path.suffix.lower() in SUFFIXES and not is_video_name(path)


def _ordered(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(str(path)))


def _by_folder(images: Iterable[Path]) -> list[list[Path]]:
    """Gather frames by the folder they lie in."""
    folders: dict[Path, list[Path]] = {}
    for path in _ordered(images):
        folders.setdefault(path.parent, []).append(path)
    return list(folders.values())


def _different(said: Sequence[str]) -> list[str]:
    """Name files after videos: by the stem, where two are alike with the folder, then numbered."""
    paths = [Path(text.rstrip("/")) for text in said]
    choices = (
        [path.stem for path in paths],
        [f"{path.parent.name}-{path.stem}" for path in paths],
        [f"{path.parent.name}-{path.name}" for path in paths],
    )
    names = [[file_stem(name) or "video" for name in choice] for choice in choices]
    # Without regard to case, as macOS and Windows see names.
    counts = [Counter(name.casefold() for name in choice) for choice in names]
    chosen: dict[str, str] = {}
    for number in range(len(paths)):
        alone = (
            choice[number]
            for choice, count in zip(names, counts, strict=True)
            if count[choice[number].casefold()] == 1 and choice[number].casefold() not in chosen
        )
        # A number where nothing else tells two apart.
        name = next(alone, None) or f"{number + 1:04d}-{names[0][number]}"
        chosen[name.casefold()] = name
    return list(chosen.values())
