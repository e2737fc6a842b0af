"""Build the blocks of CAS-ViT (arXiv 2408.03703): convolutional additive self-attention.

Similarity of queries and keys is a *sum* of two context maps, each a map gated by space and by
channel, so the cost is linear in the number of pixels: no softmax, no position table, no matrix
product between tokens. The backbones are made of these, and a search space may offer them.

A block's ``fuse()`` folds every BN that exactly can be folded and returns what stands in its place
(timm's ``reparameterize_model`` calls it).
"""

from __future__ import annotations

from timm.layers import DropPath
from timm.models import reparameterize_model
from torch import Tensor, nn

from pocketeye.layers import fold_after, fold_before


class ConvNorm(nn.Module):
    """Apply a 3x3 convolution with bias and BN: ``(N, in_chs, H, W)`` to ``(N, out_chs, H/s, W/s)``."""

    def __init__(self, in_chs: int, out_chs: int, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, 3, stride=stride, padding=1)
        self.norm = nn.BatchNorm2d(out_chs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def fuse(self) -> nn.Module:
        """Return the convolution with the BN in it."""
        return fold_after(self.conv, self.norm)


class LocalPerception(nn.Module):
    """Apply 1x1, BN, depthwise 3x3, GELU, 1x1: the integration subnet (paper, figure 3).

    It keeps the shape. There is one BN, and no activation after the first 1x1, as in the official code.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.norm = nn.BatchNorm2d(dim)
        self.conv_dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.act = nn.GELU()
        self.conv2 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.act(self.conv_dw(self.norm(self.conv1(x)))))

    def fuse(self) -> LocalPerception:
        """Fold the BN, in place, and return ``self``."""
        # Backwards into the 1x1: the depthwise convolution after it pads with zeros.
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv1, self.norm = fold_after(self.conv1, self.norm), nn.Identity()  # type: ignore[assignment]
        return self


class SpatialGate(nn.Module):
    """Compute ``u * sigmoid(w . ReLU(BN(DW(u))))``: one gate per pixel (paper, equation 6)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.BatchNorm2d(dim)
        self.act = nn.ReLU(inplace=True)
        # One channel: a gate per pixel, the same for all channels.
        self.gate = nn.Conv2d(dim, 1, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, u: Tensor) -> Tensor:
        return u * self.sigmoid(self.gate(self.act(self.norm(self.conv_dw(u)))))

    def fuse(self) -> SpatialGate:
        """Fold the BN, in place, and return ``self``."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv_dw, self.norm = fold_after(self.conv_dw, self.norm), nn.Identity()  # type: ignore[assignment]
        return self


class ChannelGate(nn.Module):
    """Compute ``u * sigmoid(W . mean(u))``: one gate per channel (paper, equation 7)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Conv2d(dim, dim, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, u: Tensor) -> Tensor:
        return u * self.sigmoid(self.gate(self.pool(u)))


class AdditiveTokenMixer(nn.Module):
    """Compute ``proj(DW(phi(q) + phi(k)) * v)`` (paper, equations 4 and 5); keep ``(N, dim, H, W)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # Thirds in this order; a bias is off in all published variants.
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        # Space first, then channels, on the gated map: the official order, which does not commute.
        self.phi_q = nn.Sequential(SpatialGate(dim), ChannelGate(dim))
        self.phi_k = nn.Sequential(SpatialGate(dim), ChannelGate(dim))
        self.conv_sim = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        # Depthwise: unlike in a transformer no 1x1 mixes the channels once more.
        self.proj = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=1)
        return self.proj(self.conv_sim(self.phi_q(q) + self.phi_k(k)) * v)


class FusedTokenMixer(nn.Module):
    """Compute the same, with the norm before it folded in and a convolution each for q, k and v.

    Three outputs that are whole tensors cost a runtime less than slices of one.
    """

    def __init__(self, mixer: AdditiveTokenMixer, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv_q, self.conv_k, self.conv_v = _split(fold_before(norm, mixer.qkv), 3)
        self.phi_q = reparameterize_model(mixer.phi_q, inplace=True)
        self.phi_k = reparameterize_model(mixer.phi_k, inplace=True)
        self.conv_sim, self.proj = mixer.conv_sim, mixer.proj

    def forward(self, x: Tensor) -> Tensor:
        similarity = self.phi_q(self.conv_q(x)) + self.phi_k(self.conv_k(x))
        return self.proj(self.conv_sim(similarity) * self.conv_v(x))


class Mlp(nn.Module):
    """Apply 1x1, GELU, 1x1."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(dim, hidden_dim, 1)
        self.act = nn.GELU()  # exact: the tanh form is off by 1.5e-3
        self.fc2 = nn.Conv2d(hidden_dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class AdditiveBlock(nn.Module):
    """Apply local perception, additive attention and MLP, each a residual branch.

    The shape ``(N, dim, H, W)`` is kept.

    Stochastic depth acts on the last two, as in the official code.
    """

    def __init__(self, dim: int, mlp_ratio: float = 4.0, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.local = LocalPerception(dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.attn = AdditiveTokenMixer(dim)
        self.norm2 = nn.BatchNorm2d(dim)
        # No layer scale, although the official command line has an option for it: its code drops it.
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # No stochastic depth here: the official code has it on the other two branches alone.
        x = x + self.local(x)
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def fuse(self) -> AdditiveBlock:
        """Fold all BN, in place, and return ``self``; stochastic depth goes."""
        self.local.fuse()
        # Both norms stand before 1x1 convolutions without padding: folding forwards is exact.
        if isinstance(self.norm1, nn.BatchNorm2d):
            self.attn = FusedTokenMixer(self.attn, self.norm1)  # type: ignore[assignment]
            self.mlp.fc1 = fold_before(self.norm2, self.mlp.fc1)
            self.norm1 = self.norm2 = nn.Identity()  # type: ignore[assignment]
        self.drop_path = nn.Identity()
        return self


def _split(conv: nn.Conv2d, parts: int) -> list[nn.Conv2d]:
    """Split a 1x1 convolution into ``parts`` convolutions of consecutive output channels."""
    assert conv.bias is not None
    convs = []
    for weight, bias in zip(conv.weight.chunk(parts), conv.bias.chunk(parts), strict=True):
        part = nn.Conv2d(conv.in_channels, len(weight), 1)
        part.weight, part.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        convs.append(part)
    return convs
