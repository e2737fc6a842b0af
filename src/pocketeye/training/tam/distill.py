"""Let a tracker's image encoder learn a larger tracker's features, beside what masks teach it.

The features that the memory and the decoder read (stride 16, after the neck) are compared where both
are normalised over their channels, through one linear layer that is thrown away afterwards.
"""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.models.tam import TAM


class FeatureTeacher:
    """Look at the student's frames with a trained tracker, in eval mode, without gradients.

    Args:
        model: any tracker; it sees frames at its own size.
        name: as the user named it.
    """

    def __init__(self, model: TAM, name: str) -> None:
        self.model = model.eval().requires_grad_(False)
        self.name = name

    @property
    def dim(self) -> int:
        """Channels of its features."""
        return self.model.dim

    @property
    def sha256(self) -> str:
        """SHA-256 of the image encoder's weights."""
        digest = hashlib.sha256()
        for key, value in self.model.image_encoder.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return ``(B, dim, h, w)`` of normalised images ``(B, 3, H, W)`` of any size."""
        if images.shape[2:] != self.model.image_size:
            size = self.model.image_size
            images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        return self.model.encode_image(images).feat


def make_projection(student_dim: int, teacher_dim: int) -> nn.Conv2d:
    """Make the layer from the student's channels to the teacher's, the same at every place."""
    return nn.Conv2d(student_dim, teacher_dim, 1)


def feature_loss(projected: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared difference of features, of mean 0 and variance 1 over channels.

    0 where they agree up to scale and shift, 2 on average where they have nothing in common.

    Args:
        projected: ``(B, D, h, w)``, the student's; gradients flow into it.
        wanted: ``(B, D, h', w')``, the teacher's, resized to the student's grid.
    """
    if wanted.shape[2:] != projected.shape[2:]:
        size = (projected.shape[2], projected.shape[3])
        wanted = F.interpolate(wanted, size=size, mode="bilinear", antialias=True)
    # Normed without weights of its own: the scale of a network's features means nothing.
    ours, theirs = (
        F.layer_norm(x.float().movedim(1, -1), (x.shape[1],)) for x in (projected, wanted)
    )
    return F.mse_loss(ours, theirs)
