"""Answer to prompts in images with a network in torch, on its device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketeye.layers import normalise, onednn_products
from pocketeye.models import TAM
from pocketeye.models.tam import ImageFeatures
from pocketeye.tracking.image.model import ImageModel

_IMAGES_AT_ONCE = 8  # bounds memory, whatever the user gives


class TorchModel(ImageModel):
    """Compute with a network where it lies, in its own precision.

    Args:
        network: put into eval mode.
    """

    def __init__(self, network: TAM) -> None:
        self.network = network.eval()
        self.image_size = network.image_size
        self._encoder = network.image_encoder.for_inference()

    @torch.inference_mode()
    @onednn_products()
    def embed(self, images: Sequence[np.ndarray]) -> list[ImageFeatures]:
        """See :class:`ImageModel`."""
        seen: list[ImageFeatures] = []
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            batch = images[start : start + _IMAGES_AT_ONCE]
            feat, details = self._encoder.encode_image(torch.cat([self._input(p) for p in batch]))
            # Once here, not in each decode: an image has no memory, whatever the prompt.
            feat = self.network.without_memory(feat)
            seen += [
                ImageFeatures(feat[n : n + 1], tuple(detail[n : n + 1] for detail in details))
                for n in range(len(batch))
            ]
        return seen

    @torch.inference_mode()
    @onednn_products()
    def decode(
        self,
        seen: ImageFeatures,
        points: np.ndarray,
        labels: np.ndarray,
        mask: np.ndarray | None,
        multimask: bool | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`ImageModel`."""
        device = self._parameter.device
        prediction = self.network.predict(
            seen.feat,
            torch.from_numpy(points).to(seen.feat),
            torch.from_numpy(labels).to(device),
            None if mask is None else torch.from_numpy(mask).to(seen.feat),
            multimask,
            details=seen.details,
        )
        return prediction.masks.float().cpu().numpy(), prediction.ious.float().cpu().numpy()

    @property
    def _parameter(self) -> Tensor:
        return next(self.network.parameters())

    def _input(self, image: np.ndarray) -> Tensor:
        """Make the network's image ``(1, 3, H, W)``: stretched as the official image predictor does.

        Bilinear on the tensor, that is, where the video predictor lets PIL resize (bicubic).
        """
        # A copy: arrays that PIL lends are read-only, and from_numpy warns of them.
        pixels = torch.from_numpy(np.array(image, order="C")).to(self._parameter.device)
        pixels = pixels.permute(2, 0, 1)[None].float() / 255
        pixels = F.interpolate(pixels, size=self.image_size, mode="bilinear", antialias=True)
        return normalise(pixels).to(self._parameter.dtype)
