"""Write what was found in still images, in the layout of an annotation tool.

A file holds the labels alone, and names the images as seen from their common folder. A folder is a data
set: labels, and the images they are of.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from pocketeye.data.files.decode import DECODER_ERRORS, SUFFIXES, no_comments
from pocketeye.data.labelled.coco import coco_annotations, coco_image
from pocketeye.data.labelled.cvat import VIDEO_END, image_element, images_head
from pocketeye.data.labelled.label_studio import image_task
from pocketeye.data.labelled.objects import NAMELESS, LabelledFrame, frame_of, xml_text
from pocketeye.data.labelled.writing.image_names import copied_names, image_names
from pocketeye.data.labelled.writing.losses import MOST_IN_LABEL_IMAGE, losses
from pocketeye.data.labelled.writing.sets import PAGED, image_place, lists_of, page_of
from pocketeye.errors import InvalidValue, unknown
from pocketeye.outputs import held, write_whole
from pocketeye.results import Result
from pocketeye.runs import make_folder
from pocketeye.text import counted

_WHOLE = {
    "coco": "annotations/instances_default.json",
    "cvat": "annotations.xml",
    "label-studio": "tasks.json",
}  # the layouts of one file, and its place in a data set
FORMS = (*_WHOLE, *PAGED)
"""The layouts in which labels of images are written."""
_OF_FILES = {".json": ("coco", "label-studio"), ".xml": ("cvat",)}
_OF_WHOLE_IMAGES = ("cvat", "label-studio", "labelme")
_ORIENTATION = 0x0112  # of EXIF


def is_label_file(target: Path) -> bool:
    """Tell whether an output is a file of labels by its suffix; any other name is that of a folder."""
    return target.suffix.lower() in _OF_FILES


def label_form(target: Path, form: str | None, *, tags: bool = False) -> str | None:
    """Return the layout that an output asks for; None of a folder for which none was named.

    Args:
        target: the file or folder.
        form: as the user named it.
        tags: whether classes of whole images are written, which some layouts cannot hold.

    Raises:
        InvalidValue: a form that is not known, or that the suffix cannot have.
    """
    if form is not None and form not in FORMS:
        raise unknown("form", form, FORMS)
    if form is not None and target.suffix.lower() in SUFFIXES:
        raise InvalidValue(f"--form {form} is no image, and --out is {target}: name a folder")
    fits = _OF_FILES.get(target.suffix.lower(), FORMS)
    if form is not None and form not in fits:
        place = "a folder" if form in PAGED else f"a folder or a {Path(_WHOLE[form]).suffix} file"
        raise InvalidValue(f"--form {form} is written to {place}, and --out is {target}")
    chosen = form or (fits[0] if is_label_file(target) else None)
    if tags and chosen is not None and chosen not in _OF_WHOLE_IMAGES:
        raise InvalidValue(
            f"{chosen} holds objects, and no classes of whole images: choose --form "
            f"{', '.join(_OF_WHOLE_IMAGES)}"
        )
    return chosen


def require_free(target: Path, overwrite: bool) -> None:
    """Refuse, before any work, an output that would be overwritten.

    Raises:
        InvalidValue: the file is there, or the folder holds something.
    """
    if is_label_file(target) and target.is_dir():
        raise InvalidValue(f"{target} is a folder, and labels go into a file of that suffix")
    if not is_label_file(target) and target.exists() and not target.is_dir():
        raise InvalidValue(f"{target} is a file, and a data set needs a folder: name another")
    taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    if taken and not overwrite:
        raise InvalidValue(f"{target} exists already: replace it with --overwrite")


class LabelFiles:
    """Gather the labels of images and write them.

    Args:
        target: a file, or the folder of a data set.
        form: one of ``FORMS``.
        images: all that may come, in order: paths, or what else is said of an image.
        categories: ids of classes that are known from the beginning, for COCO; their order is that of
            YOLO's classes.
    """

    def __init__(
        self, target: Path, form: str, images: Sequence[Path | str],
        categories: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.target, self.form = target, form
        self._copies = not is_label_file(target)
        self._names = copied_names(images) if self._copies else image_names(images)
        self._categories = dict(categories or {})
        self._classes = {name: number for number, name in enumerate(self._categories)}
        self._parts: list[str] = []  # of the one file: elements, tasks or images
        self._rows: list[str] = []  # COCO's annotations
        self._written: list[str] = []
        self._lost: Counter[str] = Counter()
        self._renamed = 0

    def add_result(
        self, place: int, result: Result, encoded: bytes, pixels: np.ndarray,
        *, of_classes: bool = False,
    ) -> None:  # fmt: skip
        """Take what a network found in an image; ``of_classes`` says that masks are those of classes."""
        # An image of more objects than it has numbers is not written; the notes say so.
        fits = result.masks is not None and max(result.ids, default=0) <= MOST_IN_LABEL_IMAGE
        image = result.label_image() if fits and self.form == "voc" else None
        self.add(place, frame_of(result), encoded, pixels, image, of_classes=of_classes)

    def add(
        self, place: int, frame: LabelledFrame, encoded: bytes, pixels: np.ndarray,
        label_image: Image.Image | None = None, *, of_classes: bool = False,
    ) -> None:  # fmt: skip
        """Take the labels of an image.

        Args:
            place: of the image among ``images``.
            frame: the labels; its name is set here.
            encoded: the image as it was read, for its copy.
            pixels: uint8 RGB ``(height, width, 3)``, upright.
            label_image: of objects or classes, for VOC.
            of_classes: whether ``label_image`` is of classes.
        """
        name = self._names[place]
        if self._copies:
            name, encoded = _as_it_is_shown(name, encoded, pixels)
            self._write(image_place(self.form, name), encoded)
        number = len(self._written) + 1
        in_set = f"images/{name}" if self._copies and self.form == "label-studio" else name
        frame = LabelledFrame(
            frame=number - 1, name=in_set, size=frame.size, objects=frame.objects, tags=frame.tags
        )
        self._lost.update(losses(self.form, frame, has_label_image=label_image is not None))
        if self.form == "coco":
            self._parts.append(json.dumps(coco_image(frame, number)))
            rows = coco_annotations(frame, number, self._categories, len(self._rows) + 1)
            self._rows += [json.dumps(row) for row in rows]
        elif self.form == "cvat":
            self._parts.append(image_element(frame, number - 1))
            self._renamed += xml_text(name) != name
            self._name_classes(frame)
        elif self.form == "label-studio":
            self._parts.append(json.dumps(image_task(frame)))
        else:
            page, text = page_of(self.form, frame, name, self._classes)
            self._write(page, text.encode("utf-8", "replace"))
            if self.form == "voc" and label_image is not None:
                kind = "SegmentationClass" if of_classes else "SegmentationObject"
                self._write(f"{kind}/{PurePosixPath(name).with_suffix('.png')}", _png(label_image))
        self._written.append(str(PurePosixPath(name).with_suffix("")))

    def _name_classes(self, frame: LabelledFrame) -> None:
        for label in (*(each.label or NAMELESS for each in frame.objects), *frame.tags):
            self._classes.setdefault(label, len(self._classes))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder, and keep other processes from writing there for the length of the block.

        Raises:
            InvalidValue: it cannot be written, or another process writes there.
        """
        make_folder(self.target if self._copies else self.target.parent)
        with held(self.target):
            yield

    def finish(self) -> list[Path]:
        """Write what is about all images; return the files and folders that a user wants to know."""
        if self.form in PAGED:
            for place, text in lists_of(self.form, self._written, self._classes).items():
                self._write(place, text.encode("utf-8", "replace"))
            return [self.target]
        whole = self._whole().encode("utf-8", "replace")
        if not self._copies:
            write_whole(self.target, whole)
            return [self.target]
        self._write(_WHOLE[self.form], whole)
        return [self.target, self.target / _WHOLE[self.form]]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return sentences about what the layout could not hold."""
        notes = [f"{self.form} holds {what} ({count})" for what, count in self._lost.items()]
        if self._renamed:
            notes.append(
                f"{counted(self._renamed, 'name')} of images have characters that XML cannot hold: "
                "question marks stand for them"
            )
        return tuple(notes)

    def _whole(self) -> str:
        """Return the text of the one file."""
        if self.form == "cvat":
            return "".join([images_head(self._classes), *self._parts, VIDEO_END])
        if self.form == "label-studio":
            return f"[{_lines(self._parts)}]\n"
        categories = [{"id": number, "name": name} for name, number in self._categories.items()]
        return (
            f'{{"images": [{_lines(self._parts)}],\n"annotations": [{_lines(self._rows)}],\n'
            f'"categories": {json.dumps(categories)}}}\n'
        )

    def _write(self, place: str, data: bytes) -> None:
        path = self.target / place
        make_folder(path.parent)
        # Thousands of files would wait for the disk one by one.
        write_whole(path, data, sync=False)


def _lines(parts: Sequence[str]) -> str:
    return "\n" + ",\n".join(parts) + "\n"


def _as_it_is_shown(name: str, encoded: bytes, pixels: np.ndarray) -> tuple[str, bytes]:
    """Return name and bytes of the copy of an image: as it came, or upright where EXIF turns it.

    Programs differ in whether they turn it, so labels would fit in some of them only.
    """
    try:
        with no_comments(), Image.open(io.BytesIO(encoded)) as image:
            kind = str(image.format or "").lower()
            turned = image.getexif().get(_ORIENTATION, 1) != 1
    except DECODER_ERRORS:  # of damaged metadata: the pixels could be read
        kind, turned = "", True
    path = PurePosixPath(name)
    if not turned and path.suffix.lower() in SUFFIXES:
        return name, encoded
    known = {"jpeg": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")
    if not turned and known in SUFFIXES:  # from an address or a pipe, without a suffix
        return f"{name}{known}", encoded
    return str(path.with_suffix(".png")), _png(Image.fromarray(pixels))


def _png(image: Image.Image) -> bytes:
    stored = io.BytesIO()
    # Level 1 deflates four times as fast as 6, to a file not much larger.
    image.save(stored, "png", compress_level=1)
    return stored.getvalue()
