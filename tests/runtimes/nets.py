"""Small networks for the tests of this room."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pocketeye.layers import ChannelShuffle


class Residual(nn.Module):
    """Grouped, shuffled, depthwise, with a shortcut."""

    def __init__(self, chs: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(chs, 2 * chs, 1, groups=2, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * chs)
        self.act = nn.ReLU(inplace=True)
        self.shuffle = ChannelShuffle(2)
        self.conv2 = nn.Conv2d(2 * chs, 2 * chs, 3, padding=1, groups=2 * chs, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * chs)
        self.conv3 = nn.Conv2d(2 * chs, chs, 1)
        self.bn3 = nn.BatchNorm2d(chs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.shuffle(self.act(self.bn1(self.conv1(x))))
        y = torch.relu(self.bn2(self.conv2(y)))
        return self.bn3(self.conv3(y)) + x


def small_net(num_classes: int = 10) -> nn.Module:
    """(N, 3, S, S) to (N, num_classes), with BatchNorm statistics that matter."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        Residual(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )
    return randomize_norms(net).eval()


def randomize_norms(module: nn.Module) -> nn.Module:
    """Give every BatchNorm statistics and affine parameters far from 0 and 1."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_mean, -0.5, 0.5)
            nn.init.uniform_(m.running_var, 0.2, 3.0)
            nn.init.uniform_(m.weight, -1.5, 1.5)
            nn.init.uniform_(m.bias, -0.5, 0.5)
    return module


def settle_norms(module: nn.Module, x: Tensor) -> nn.Module:
    """Statistics of ``x`` in every BatchNorm, as after training."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
    with torch.no_grad():
        module.train()(x)
    return module.eval()
