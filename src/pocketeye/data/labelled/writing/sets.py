"""Say which files a data set has in the layouts with a page of labels for each image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from pocketeye.data.labelled.labelme import write_labelme
from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.data.labelled.voc import voc_name, write_voc
from pocketeye.data.labelled.yolo import write_names, write_yolo

PAGED = ("yolo-detect", "yolo-segment", "voc", "labelme")
"""The layouts with a page of labels for each image."""
_IMAGES = {"voc": "JPEGImages", "labelme": "."}


def image_place(form: str, name: str) -> str:
    """Return where an image of a set lies, from its name with its suffix."""
    return (PurePosixPath(_IMAGES.get(form, "images")) / name).as_posix()


def page_of(form: str, frame: LabelledFrame, name: str, classes: dict[str, int]) -> tuple[str, str]:
    """Return the place of an image's page of labels, and its text.

    Args:
        form: one of ``PAGED``.
        frame: what is labelled.
        name: of the image in the set, with its suffix, ``/`` between folders.
        classes: numbers by name; names that are new are added.
    """
    image = PurePosixPath(name)
    if form == "labelme":
        # Beside the image, which it names as seen from there.
        return str(image.with_suffix(".json")), write_labelme(frame, image.name)
    if form == "voc":
        for each in frame.objects:
            classes.setdefault(voc_name(each.label), len(classes))
        segmented = any(each.mask is not None for each in frame.objects)
        page = write_voc(frame, name, segmented=segmented)
        return f"Annotations/{image.with_suffix('.xml')}", page
    text = write_yolo(frame, classes, outlines=form == "yolo-segment")
    return f"labels/{image.with_suffix('.txt')}", text


def lists_of(form: str, names: Iterable[str], classes: dict[str, int]) -> dict[str, str]:
    """Return the texts about all images of a set, by their places.

    Args:
        form: one of ``PAGED``.
        names: of the images, without suffix.
        classes: numbers by name.
    """
    if form.startswith("yolo"):
        return {"data.yaml": "path: .\ntrain: images\nval: images\n" + write_names(classes)}
    if form == "voc":
        # A class's place in the list, from 1, is its number in images of SegmentationClass.
        known = "".join(f"{voc_name(name)}\n" for name in classes)
        listed = "".join(f"{name}\n" for name in names)
        return {"ImageSets/Main/all.txt": listed, "classes.txt": known}
    return {}
