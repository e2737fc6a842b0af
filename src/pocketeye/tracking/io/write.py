"""Let results leave frame by frame, in the form that the name of the output asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import get_args

from pocketeye.data.labelled.writing.sets import PAGED
from pocketeye.errors import InvalidValue, unknown
from pocketeye.results import Result
from pocketeye.results.result import Form
from pocketeye.tracking.io.write_coco import CocoFile
from pocketeye.tracking.io.write_files import CsvFile, ImageFolder, MotFile
from pocketeye.tracking.io.write_sets import SetFolder
from pocketeye.tracking.io.write_tracks import ByObject, CvatFile, LabelStudioFile
from pocketeye.tracking.io.write_video import alpha_writer, overlay_writer
from pocketeye.tracking.io.writer import Writer

FPS = 25.0
"""Frames a second of a written video where the source does not say: PAL's, as FFmpeg has it."""

# The forms an output can have by its suffix (a folder has none); the first is the usual one.
_FORMS: dict[str, tuple[str, ...]] = {
    "": ("labels", "overlay", "cutout", *PAGED),
    ".mp4": ("overlay",),
    ".mkv": ("overlay",),
    ".webm": ("cutout",),
    ".mov": ("cutout",),
    ".json": ("coco", "label-studio"),
    ".xml": ("cvat",),
    ".txt": ("mot",),
    ".csv": ("table",),
}
_BY_OBJECT: dict[str, type[ByObject]] = {"cvat": CvatFile, "label-studio": LabelStudioFile}


def forms_for(paths: Sequence[Path], form: str | None) -> list[str | None]:
    """Return the form of each output: the one that was asked for where it can have it, else its own.

    Raises:
        InvalidValue: a form that none of them can have.
    """
    fits = [form in _FORMS.get(path.suffix.lower(), ()) for path in paths]
    if form is not None and paths and not any(fits):
        known = sorted({each for path in paths for each in _FORMS.get(path.suffix.lower(), ())})
        names = ", ".join(str(path) for path in paths)
        raise InvalidValue(
            f"--form {form} is for {_places(form)}, and --out is {names}, which can be "
            f"{', '.join(known) or 'nothing that is known'}"
        )
    return [form if fitting else None for fitting in fits]


def _places(form: str) -> str:
    """Say which outputs have a form."""
    suffixes = [suffix for suffix, forms in _FORMS.items() if form in forms]
    return " or ".join(suffix or "a folder" for suffix in suffixes) or "no output"


def open_writer(
    path: str | Path,
    form: str | None = None,
    *,
    fps: float | None = None,
    name: str | None = None,
    overwrite: bool = False,
    file_names: Sequence[str] | None = None,
) -> Writer:
    """Open an output for results, to be used as a context manager.

    Args:
        path: ``.mp4`` and ``.mkv``: video with the objects drawn; ``.webm`` and ``.mov``: video of the
            objects on transparency; ``.json``: COCO run lengths with track ids, and the frames
            beside it; ``.xml``: CVAT's tracks; ``.txt``: MOTChallenge; ``.csv``: a row for each object
            of each frame; without suffix: a folder.
        form: for a folder ``labels`` (palette PNGs as in DAVIS, the default), ``overlay`` (JPEGs),
            ``cutout`` (PNGs), ``yolo-detect``, ``yolo-segment``, ``voc`` or ``labelme`` (frames and
            their labels); for ``.json`` ``coco`` or ``label-studio``; elsewhere the suffix says it.
        fps: frames a second; videos need it.
        name: of the video, for COCO; the file's name by default.
        overwrite: replace what is there.
        file_names: for COCO, of all frames of the video, as seen from the file's folder; without them
            the frames are written as JPEGs into ``NAME_frames``.

    Raises:
        InvalidValue: unknown suffix or form, something is there already, or it cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _FORMS:
        known = ", ".join(s for s in _FORMS if s)
        raise unknown("suffix", suffix, _FORMS, f"allowed: {known}, or none for a folder")
    forms = _FORMS[suffix]
    chosen = form or forms[0]
    if chosen not in forms:
        what = f"a {suffix} file" if suffix else "a folder"
        raise unknown(f"form of {what}", chosen, forms)
    if chosen == "coco":
        return CocoFile(
            target, name=name or target.stem, fps=fps, file_names=file_names, overwrite=overwrite
        )
    if chosen in _BY_OBJECT:
        return _BY_OBJECT[chosen](target, name=name or target.stem, fps=fps, overwrite=overwrite)
    if chosen in PAGED:
        return SetFolder(target, chosen, overwrite=overwrite)
    if chosen == "mot":
        return MotFile(target, overwrite=overwrite)
    if chosen == "table":
        return CsvFile(target, overwrite=overwrite)
    if not suffix:
        image: Form = next(f for f in get_args(Form) if f == chosen)
        return ImageFolder(target, image, overwrite=overwrite)
    if fps is None:
        raise InvalidValue(f"{target.name} needs its frames a second: give fps")
    make = overlay_writer if chosen == "overlay" else alpha_writer
    return make(target, fps=fps, overwrite=overwrite)


@contextmanager
def opened(makers: Iterable[Callable[[], Writer]]) -> Iterator[list[Writer]]:
    """Open writers one by one; where one cannot be opened, the others leave nothing behind.

    At the end of the block those that are not finished are ended under their partial names.
    """
    with ExitStack() as stack:
        writers = []
        for make in makers:
            writers.append(make())
            stack.callback(writers[-1].abort)  # does nothing once it is finished
        yield writers


def write_all(results: Iterable[Result], writers: Iterable[Writer]) -> int:
    """Give every result to every writer and finish them; the number of results.

    An exception or Ctrl-C leaves all outputs readable under their partial names.
    """
    count = 0
    with ExitStack() as stack:
        entered = [stack.enter_context(writer) for writer in writers]
        for result in results:
            for writer in entered:
                writer.write(result)
            count += 1
    return count
