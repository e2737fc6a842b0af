"""Segment images by clicks, boxes and masks: the encoder runs once, each prompt costs little."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pocketeye.data.files.arrays import rgb_of
from pocketeye.data.files.decode import UnreadableImage, decode
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.tam.prompt_numbers import NO_POINT
from pocketeye.reading import is_file, is_folder
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.tracking.engine.base import Engine
from pocketeye.tracking.image.components import fill_holes, remove_specks
from pocketeye.tracking.image.model import EngineModel, ImageModel
from pocketeye.tracking.image.prompts import Prompt, Size, as_prompt, read_prompts
from pocketeye.tracking.image.resize import enlarged_mask

if TYPE_CHECKING:
    from pocketeye.models import TAM

_OBJECTS_AT_ONCE = 64  # bounds memory, whatever the user gives


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation(Result):
    """Hold a :class:`Result` that can be refined.

    Attributes:
        scores: the expected IoU of each mask.
        logits: float32 ``(N, h, w)`` at a quarter of the network's image, within ±32: a mask
            prompt for the next answer, ``predict(mask=result.logits[0])``.
    """

    logits: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedImage:
    """Hold an image and what the network knows of it.

    Attributes:
        image: uint8 RGB ``(height, width, 3)``.
        seen: what it knows, as :meth:`ImageModel.embed` gave it.
    """

    image: np.ndarray
    seen: Any

    @property
    def size(self) -> Size:
        """Size of the image, (width, height)."""
        return self.image.shape[1], self.image.shape[0]


class ImageSegmenter:
    """Segment what is clicked on, boxed or roughly drawn, in one image or several.

    Args:
        model: a network, see :func:`pocketeye.tracking.open_model`, or what computes for a tracker
            (``load_tracker(...).engine``), such as an exported one.
        hole_area, speck_area: the largest holes that are filled and specks that are removed, in
            pixels of the logits; nothing is changed by default.
    """

    def __init__(
        self, model: TAM | Engine | ImageModel, *, hole_area: int = 0, speck_area: int = 0
    ) -> None:
        self.model = _image_model(model)
        self.hole_area, self.speck_area = hole_area, speck_area
        self._images: tuple[EmbeddedImage, ...] = ()

    @property
    def mask_size(self) -> Size:
        """Size of logits, (width, height): a quarter of the network's image."""
        height, width = self.model.image_size
        return width // 4, height // 4

    def set_image(self, image: Any) -> None:
        """Look at an image, or at several; prompts then refer to it.

        Args:
            image: path, PIL image, uint8 array ``(height, width, 3)`` in RGB or ``(height,
                width)``, or a list of these. A file is turned upright by its EXIF orientation;
                images in memory are taken as they stand.

        Raises:
            MissingFile: no such file. InvalidValue, InvalidType: not an image. The image that
                was set before stays.
        """
        several = isinstance(image, list | tuple)
        if several and not image:
            raise InvalidValue("an empty list of images: give one at least")
        # Assigned last: an image that cannot be read leaves the one before in place.
        self._images = tuple(self.embed(image if several else [image]))

    def predict(
        self,
        points: Any = None,
        labels: Any = None,
        box: Any = None,
        boxes: Any = None,
        mask: Any = None,
        multimask: bool | None = None,
        *,
        image: int = 0,
    ) -> Segmentation:
        """Predict masks for prompts, in pixels of the image.

        Points, box and mask together speak of one object. Several objects at once: ``boxes``, points
        ``(objects, N, 2)``, or lists of them (each may have its own number of points).

        Args:
            points: ``(N, 2)``: x and y of each.
            labels: ``(N,)``: 1 in the object (all, by default), 0 beside it.
            box: x0, y0, x1, y1.
            boxes: ``(objects, 4)``.
            mask: ``logits`` of an earlier answer (one of them), or a drawn mask of the image's
                size, bool or compact; for several objects one each.
            multimask: None gives one mask per object, the best of three where the prompt is a single
                point, which may mean a part or the whole; True gives all three of each object, the
                best first, object after object; False the one that is made for clear prompts.
            image: which of several images.

        Raises:
            InvalidValue, InvalidType: no image yet, no prompt, a point outside, a box upside down,
                labels that do not match, a mask of another size.
        """
        seen = self._seen(image)
        prompts = read_prompts(
            points, labels, box, boxes, mask, size=seen.size, mask_size=self.mask_size
        )
        logits, ious = self._predict_all(seen, prompts, multimask)
        return Segmentation(
            size=seen.size,
            masks=Masks(size=seen.size, items=tuple(self.compact(logits, seen.size))),
            scores=ious,
            image=seen.image,
            logits=as_prompt(logits),
        )

    def predict_batch(
        self, prompts: Sequence[dict[str, Any]], multimask: bool | None = None
    ) -> list[Segmentation]:
        """Call :meth:`predict` for every image.

        Args:
            prompts: the arguments for each, ``{"points": [[240, 150]]}``, in the order of the
                images.

        Raises:
            InvalidValue: not as many prompts as images; else as :meth:`predict`.
        """
        self._seen(0)
        if len(prompts) != len(self._images):
            raise InvalidValue(
                f"{len(prompts)} prompts for {len(self._images)} images: give one for each"
            )
        return [
            self.predict(**prompt, multimask=multimask, image=n) for n, prompt in enumerate(prompts)
        ]

    # --- the parts, for those who keep images themselves ----------------------------------------

    def embed(self, images: Iterable[Any]) -> list[EmbeddedImage]:
        """Look at images without setting them; see :meth:`set_image`."""
        arrays = [read_image(image) for image in images]
        pairs = zip(arrays, self.model.embed(arrays), strict=True)
        return [EmbeddedImage(image=pixels, seen=seen) for pixels, seen in pairs]

    def decode(
        self,
        seen: EmbeddedImage,
        points: np.ndarray,
        labels: np.ndarray,
        mask: np.ndarray | None = None,
        multimask: bool | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict logits ``(B, M, h, w)`` and expected IoUs ``(B, M)``; M is 1, or 3 that compete.

        Args:
            points: float32 ``(B, P, 2)`` pixels of the image; ``labels``, ``mask`` and ``multimask``
                as in :meth:`ImageModel.decode`.
        """
        height, width = self.model.image_size
        scale = np.array([width / seen.size[0], height / seen.size[1]], np.float32)
        return self.model.decode(seen.seen, points * scale, labels, mask, multimask)

    def compact(self, logits: np.ndarray, size: Size) -> Iterable[CompactMask]:
        """Yield logits ``(N, h, w)`` as masks of an image; only one is ever large."""
        if self.hole_area:
            logits = fill_holes(logits, self.hole_area)
        if self.speck_area:
            logits = remove_specks(logits, self.speck_area)
        for one in logits:
            yield CompactMask.from_dense(enlarged_mask(one, size[1], size[0]))

    def _predict_all(
        self, seen: EmbeddedImage, prompts: list[Prompt], multimask: bool | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict logits ``(N, h, w)`` and IoUs ``(N,)`` in the order of the prompts."""
        answers: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for group in _batches(prompts):
            chosen = [prompts[n] for n in group]
            points = np.stack([p.points for p in chosen])
            labels = np.stack([p.labels for p in chosen])
            mask = None
            if chosen[0].mask is not None:
                mask = np.stack([p.mask for p in chosen if p.mask is not None])[:, None]
            # SAM 2's rule of 0 or 1 point counts the user's, not the one added below.
            several = points.shape[1] <= 1 if multimask is None else multimask
            if not points.shape[1]:  # a mask alone: the network expects one empty point
                points = np.zeros((len(chosen), 1, 2), np.float32)
                labels = np.full((len(chosen), 1), NO_POINT, np.int64)
            logits, ious = self.decode(seen, points, labels, mask, several)
            # Also of three that compete one is given back, unless the user asked for all.
            best = np.argsort(-ious, 1, kind="stable")[:, : None if multimask else 1]
            for row, n in enumerate(group):
                answers[n] = logits[row, best[row]], ious[row, best[row]]
        ordered = [answers[n] for n in range(len(prompts))]
        return np.concatenate([a[0] for a in ordered]), np.concatenate([a[1] for a in ordered])

    def _seen(self, image: int) -> EmbeddedImage:
        if not self._images:
            raise InvalidValue("there is no image yet: call set_image first")
        if not 0 <= image < len(self._images):
            raise InvalidValue(f"image {image} of {len(self._images)}: they count from 0")
        return self._images[image]


def _image_model(model: TAM | Engine | ImageModel) -> ImageModel:
    if isinstance(model, ImageModel):
        return model
    if isinstance(model, Engine):
        return EngineModel(model)
    # Only for a network: an exported one runs without torch.
    from pocketeye.tracking.image.torch_model import TorchModel

    return TorchModel(model)


def read_image(image: Any) -> np.ndarray:
    """Read an image as uint8 RGB ``(height, width, 3)``; see :meth:`ImageSegmenter.set_image`."""
    if isinstance(image, str | Path):
        path = Path(image)
        if is_folder(path):
            raise InvalidValue(f"{path!s:.200} is a folder: name one image in it")
        if not is_file(path):
            raise MissingFile(f"no image at {path!s:.200}")
        try:
            return np.asarray(decode(path))
        except UnreadableImage as error:
            raise InvalidValue(f"{path} cannot be read: {error}") from error
    return rgb_of(image)


def _batches(prompts: list[Prompt]) -> list[list[int]]:
    """Group the prompts that go through the decoder together, by their numbers.

    They have equally many points: filling up would change the answer.
    """
    groups: dict[int, list[int]] = {}
    for n, prompt in enumerate(prompts):
        groups.setdefault(len(prompt.points), []).append(n)
    return [
        group[start : start + _OBJECTS_AT_ONCE]
        for group in groups.values()
        for start in range(0, len(group), _OBJECTS_AT_ONCE)
    ]
