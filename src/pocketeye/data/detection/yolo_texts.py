"""Find the text file with the boxes of an image in a YOLO set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_LABELS = ("labels", "Labels", "LABELS")


class LabelTexts:
    """Find the text files of images; the files of a folder are listed once.

    ``…/images/a/1.jpg`` has its text in ``…/labels/a/1.txt`` (the last ``images`` of the path counts),
    or beside the image; ``.TXT`` is taken too.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, Path]] = {}

    def of(self, image: Path) -> Path | None:
        """Return the text file of an image; None where it has none."""
        for folder in _folders(image):
            if (text := self._in(folder).get(image.stem)) is not None:
                return text
        return None

    def expected(self, image: Path) -> Path:
        """Return where the text of an image belongs."""
        return next(_folders(image)) / f"{image.stem}.txt"

    def _in(self, folder: Path) -> dict[str, Path]:
        if folder not in self._folders:
            # Listed once: asking for each text alone is slow on network disks.
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            texts = [path for path in files if path.suffix.lower() == ".txt"]
            self._folders[folder] = {path.stem: path for path in texts}
        return self._folders[folder]


def _folders(image: Path) -> Iterator[Path]:
    """Yield the folders in which the text may lie, the likeliest first."""
    parts = image.parent.parts
    last = max((at for at, part in enumerate(parts) if part.lower() == "images"), default=None)
    if last is not None:
        # The text lies under the same path, with labels for images.
        for name in _LABELS:
            yield Path(*parts[:last], name, *parts[last + 1 :])
    yield image.parent
