"""Pair images and their maps of labels, file to file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pocketeye.data.files.decode import SUFFIXES, UnreadableImage, header_mode, header_size
from pocketeye.data.files.problems import Problems
from pocketeye.data.files.sources import walk

ENDINGS = ("_L", "_P", "_mask", "_label", "_labels", "_gt", "_seg")
"""Endings that a mask's name may have beyond its image's."""
_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B")
# JPEG changes values a little, and label 7 would become 6 or 8.
_SMEARED = (".jpg", ".jpeg", ".jfif")
_COLOURS = ("RGB", "RGBA")


def by_stem(root: Path, inside: str, ending: str = "") -> dict[str, str]:
    """Find the images in a folder and deeper, by their names without suffix.

    Args:
        inside: the folder, relative to ``root``.
        ending: of the names without suffix; only those are taken, and it is cut off.
    """
    found: dict[str, str] = {}
    for name, _ in walk(root / inside) if (root / inside).is_dir() else ():
        path = Path(name)
        if path.suffix.lower() in SUFFIXES and path.stem.endswith(ending):
            stem = str(path.with_suffix(""))
            found[stem.removesuffix(ending)] = f"{inside}/{name}"
    return found


def pair_up(
    root: Path,
    images: Mapping[str, str],
    masks: Mapping[str, str],
    problems: Problems,
    *,
    colours: bool = False,
) -> list[tuple[str, str]]:
    """Pair images and masks of one name; what does not fit is left out and named.

    An image without mask, a mask without image, sizes that disagree, masks with colours unless
    ``colours`` mean something. Headers only; Pillow may warn.
    """
    # The image's name decides; endings of masks are tried after it.
    matched = {stem: _mask_of(stem, masks) for stem in images}
    lost = masks.keys() - set(matched.values())
    pairs = []
    for stem in sorted(images.keys() | lost):
        mask = matched.get(stem)
        if stem not in images:
            problems.add(masks[stem], "missing image")
        elif mask is None:
            problems.add(images[stem], "no mask of that name")
        elif (wrong := _flaw(root / images[stem], root / masks[mask], colours)) is not None:
            problems.add(images[stem], wrong)
        else:
            pairs.append((images[stem], masks[mask]))
    return pairs


def _mask_of(stem: str, masks: Mapping[str, str]) -> str | None:
    names = (stem, *(stem + ending for ending in ENDINGS))
    return next((name for name in names if name in masks), None)


def _flaw(image: Path, mask: Path, colours: bool) -> str | None:
    # The image first: without it the mask does not matter.
    try:
        size = header_size(image)
    except UnreadableImage as error:
        return str(error)
    try:
        mode, mask_size = header_mode(mask)
    except UnreadableImage as error:
        return f"its mask cannot be read ({error})"
    if mask.suffix.lower() in _SMEARED:
        return "its mask is a JPEG, which does not keep label numbers: save masks as PNG"
    if mode not in (*_NUMBERS, *(_COLOURS if colours else ())):
        return f"its mask has colours ({mode}), not label numbers"
    if mask_size not in (size, size[::-1]):  # turned by EXIF when it is decoded
        return f"{size[0]}x{size[1]} pixels, but its mask has {mask_size[0]}x{mask_size[1]}"
    return None
