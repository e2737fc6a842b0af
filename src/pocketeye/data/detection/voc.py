"""Pascal VOC's xml, a file an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.files import (
    SUFFIXES,
    ListedNames,
    Problems,
    UnreadableImage,
    files_in,
    header_size,
    no_comments,
    read_lines,
    spellings,
    splits_among,
    upright_size,
    walk,
)
from pocketeye.data.files.annotations.scalars import read_flag
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.size import MOST_PIXELS
from pocketeye.reading import parse_xml, read_regular
from pocketeye.text import some

CLASS_FILES = ("classes.txt", "labels.txt")
_DEEP = ("Annotations", "JPEGImages", "images")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class _Thing:
    """Hold an ``object`` of an xml; corners as written, None where they are no numbers."""

    name: str
    corners: tuple[float, ...] | None
    difficult: bool


@dataclass(frozen=True)
class _Page:
    """Hold an xml; ``size`` (width, height) as written, None where it is not."""

    size: tuple[int, int] | None
    things: tuple[_Thing, ...]


@dataclass(frozen=True)
class _Place:
    """Hold the files of a set: images and xmls by their names without suffix, ``/`` between folders."""

    root: Path
    images: dict[str, str]
    pages: dict[str, Path]


def is_voc(root: Path) -> bool:
    """Tell whether a folder has VOC's xmls, in ``Annotations`` or beside the images of its splits."""
    return any(name.lower().endswith(".xml") for f in _page_folders(root) for name in _inside(f))


def voc_splits(root: Path) -> tuple[str, ...]:
    """Return the lists in ``ImageSets/Main`` that name images, or the folders of splits."""
    lists = {file.stem for file in files_in(root / "ImageSets" / "Main", ".txt")}
    return splits_among(lists) or splits_among({folder.name for folder in _page_folders(root)})


def read_voc_boxes(root: Path, split: str | None, masks: bool) -> tuple[tuple[str, ...], Objects]:
    """Read the names of the classes and what is in the images.

    The classes are those of ``classes.txt`` (or ``labels.txt``), else the names in all xmls of the set,
    # Some sets call the folder images.
    sorted, so that every split has the same. VOC counts pixels from 1 and its last one is inside: the
    box of xmin, ymin, xmax, ymax is xmin - 1, ymin - 1, xmax, ymax.

    Raises:
        MissingFile: no such split.
        InvalidValue: no class at all.
    """
    place, stems = _find(root, split)
    gathering = ObjectGathering(place.root, masks)
    pages = {stem: _read(place.pages[stem], gathering.problems) for stem in _of_split(place, stems)}
    classes = _classes(root, place, pages)
    labels = {name: label for label, name in enumerate(classes)}
    with progress.task(f"looking at {root}", len(stems)) as bar, no_comments():
        for stem in stems:
            bar.advance(1)
            if stem not in place.pages:
                known = place.images.get(stem, stem)
                gathering.problems.add(known, "no xml of that name: left out")
            elif stem not in place.images:
                gathering.problems.add(f"{stem}.xml", "missing image: left out")
            elif (page := pages[stem]) is not None:
                _add(gathering, stem, place.images[stem], page, labels)
    return classes, gathering.done()


def _page_folders(root: Path) -> list[Path]:
    if (root / "Annotations").is_dir():
        return [root / "Annotations"]
    inside = [p for p in root.iterdir() if p.is_dir()] if root.is_dir() else []
    named = splits_among({p.name for p in inside})
    return [root / name for name in named] or [root]


def _find(root: Path, split: str | None) -> tuple[_Place, list[str]]:
    """Return the files, and the names of the images of a split."""
    if (root / "Annotations").is_dir():
        named = (_images(root / name) for name in ("JPEGImages", "images"))
        images = next((found for found in named if found), {})
        place = _Place(root, images, _pages([root / "Annotations"]))
        # Also what has only one of the two: it is named then.
        known = sorted(place.images | place.pages)
        return place, _listed(root, split, known) if split else known
    folders = _page_folders(root)
    wanted = [f for f in folders if split is None or f.name in spellings(split)]
    if not wanted:
        raise MissingFile(
            f"{root} has no split {split!r}; there is {some([f.name for f in folders])}"
        )
    found = {stem: f"{f.name}/{n}" for f in wanted for stem, n in _names(f).items()}
    if wanted == [root]:
        found = _names(root)
    place = _Place(root, found, _pages(folders))
    return place, sorted(found | _pages(wanted))


def _listed(root: Path, split: str, known: list[str]) -> list[str]:
    """Return the names that a list in ``ImageSets/Main`` means, those it does not find as written."""
    lists = files_in(root / "ImageSets" / "Main", ".txt")
    for name in spellings(split):
        for file in lists:
            if file.stem == name:
                names = ListedNames(known, (*SUFFIXES, ".xml"))
                return list(dict.fromkeys(map(names.find, read_lines(file))))
    there = some([file.stem for file in lists]) or "none"
    folder = root / "ImageSets" / "Main"
    raise MissingFile(f"{folder} has no list of the split {split!r}; there is {there}")


def _images(folder: Path) -> dict[str, str]:
    return {stem: f"{folder.name}/{name}" for stem, name in _names(folder).items()}


def _names(folder: Path) -> dict[str, str]:
    """Return the images of a folder and deeper, by their names without suffix."""
    return {_stem(n): n for n in _inside(folder) if Path(n).suffix.lower() in SUFFIXES}


def _pages(folders: list[Path]) -> dict[str, Path]:
    """Return the xmls of folders and deeper, by their names without suffix."""
    inside = ((folder, name) for folder in folders for name in _inside(folder))
    return {_stem(n): folder / n for folder, n in inside if n.lower().endswith(".xml")}


def _inside(folder: Path) -> Iterator[str]:
    """Yield the files of a folder; those in folders inside only where they can be nothing else."""
    if folder.name in _DEEP and folder.is_dir():
        yield from (name for name, _ in walk(folder))
    elif folder.is_dir():
        yield from sorted(path.name for path in folder.iterdir() if path.is_file())


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _of_split(place: _Place, stems: list[str]) -> Iterator[str]:
    return (stem for stem in stems if stem in place.pages and stem in place.images)


def _classes(root: Path, place: _Place, read: dict[str, _Page | None]) -> tuple[str, ...]:
    for name in CLASS_FILES:
        if (root / name).is_file():
            return tuple(dict.fromkeys(read_lines(root / name)))
    quiet = Problems()  # of other splits: they are named when those are opened
    others = (_read(file, quiet) for stem, file in place.pages.items() if stem not in read)
    pages = [*read.values(), *others]
    # All xmls of the set: every split must have the same classes.
    names = {thing.name for page in pages if page for thing in page.things}
    if not names:
        raise InvalidValue(f"{root} has no object in any of its xmls: there are no classes")
    return tuple(sorted(names))


def _read(file: Path, problems: Problems) -> _Page | None:
    try:
        top = parse_xml(read_regular(file))
    except (OSError, ValueError) as error:
        problems.add(file.name, f"cannot be read ({str(error)[:80]}): left out with its image")
        return None
    # Size 0 is what some programs write for unknown.
    sides = _numbers(top.find("size"), ("width", "height"))
    sound = sides is not None and all(1 <= side <= MOST_PIXELS for side in sides)
    size = (int(sides[0]), int(sides[1])) if sides and sound else None
    things = []
    for item in top.findall("object"):
        corners = _numbers(item.find("bndbox"), _CORNERS)
        difficult = bool(read_flag(item.findtext("difficult")))
        things.append(_Thing((item.findtext("name") or "").strip(), corners, difficult))
    return _Page(size, tuple(things))


def _numbers(item: Element | None, names: tuple[str, ...]) -> tuple[float, ...] | None:
    try:
        return (
            tuple(float(item.findtext(name) or "") for name in names) if item is not None else None
        )
    except ValueError:
        return None


def _add(
    gathering: ObjectGathering, stem: str, image: str, page: _Page, labels: dict[str, int]
) -> None:
    path = gathering.root / image
    try:
        size = upright_size(path)
        # Sizes as stored and as shown: programs differ in which they look at.
        if page.size not in (None, size, header_size(path)):
            raise UnreadableImage(
                f"an image of {size[0]}x{size[1]}, but the xml says {page.size[0]}x{page.size[1]}"
            )
    except UnreadableImage as error:
        gathering.problems.add(
            image, f"{error}: left out" + " with its objects" * bool(page.things)
        )
        return
    for number, thing in enumerate(page.things, 1):
        name = f"{stem}.xml, object {number} ({thing.name})"
        if thing.corners is None:
            gathering.offered += 1
            gathering.problems.add(name, "a box with something else than numbers: left out")
        elif thing.name not in labels:
            gathering.offered += 1
            gathering.problems.add(name, "of an unknown class: left out")
        else:
            # VOC counts pixels from 1 and its last one is inside; here the last edge is outside.
            x0, y0, x1, y1 = thing.corners
            corner = (1.0 if x1 > x0 else 0.0), (1.0 if y1 > y0 else 0.0)  # no area stays none
            box = (x0 - corner[0], y0 - corner[1], x1, y1)
            gathering.add(
                name, box, page.size or size, labels[thing.name], difficult=thing.difficult
            )
    gathering.image(image, Path(image).name, page.size or size)
