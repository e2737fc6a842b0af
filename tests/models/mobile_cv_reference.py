"""An independent stand-in for mobile_cv's FBNet: its key names, conv biases, order of operations."""

from __future__ import annotations

import torch
from torch import nn

# Layers per xif stage of the 22-layer networks (fact sheet, section 3).
STAGES = (1, 4, 4, 8, 5)


class _ConvBN(nn.Module):
    def __init__(self, cin, cout, k=1, s=1, g=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, s, k // 2, groups=g, bias=True)
        self.bn = nn.BatchNorm2d(cout)
        self.act = act

    def forward(self, x):
        x = self.bn(self.conv(x))
        return x.relu() if self.act else x


class _Block(nn.Module):
    def __init__(self, spec, op):
        super().__init__()
        mid = spec.in_chs * op.expansion
        self.groups, self.res = op.groups, spec.stride == 1 and spec.in_chs == spec.out_chs
        if op.expansion > 1:
            self.pw = _ConvBN(spec.in_chs, mid, g=op.groups)
        self.dw = _ConvBN(mid, mid, op.kernel, spec.stride, mid)
        self.pwl = _ConvBN(mid, spec.out_chs, g=op.groups, act=False)

    def forward(self, x):
        y = self.pw(x) if hasattr(self, "pw") else x
        if self.groups > 1:
            n, c, h, w = y.shape
            y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.pwl(self.dw(y))
        return x + y if self.res else y


class MobileCVFBNet(nn.Module):
    def __init__(self, architecture):
        super().__init__()
        stages = nn.ModuleDict()
        stem, head = architecture.stem, architecture.head
        stages["xif0_0"] = _ConvBN(stem.in_chs, stem.out_chs, 3, stem.stride)
        specs = iter(architecture.blocks)
        for number, depth in enumerate(STAGES, 1):
            for index in range(depth):
                spec = next(specs)
                stages[f"xif{number}_{index}"] = (
                    nn.Identity() if spec.op == "skip" else _Block(spec, spec.parsed)
                )
        stages[f"xif{len(STAGES) + 1}_0"] = _ConvBN(head.in_chs, head.parsed.width)
        self.backbone = nn.Module()
        self.backbone.stages = stages
        self.head = nn.Module()
        self.head.conv = nn.Conv2d(head.parsed.width, head.out_chs, 1)

    def forward(self, x):
        for stage in self.backbone.stages.values():
            x = stage(x)
        return self.head.conv(x.mean((2, 3), keepdim=True)).flatten(1)


def official_checkpoint(reference: nn.Module) -> dict[str, dict[str, torch.Tensor]]:
    """As the released file has it: under ``model_ema``, keys prefixed ``module.``."""
    return {"model_ema": {f"module.{k}": v for k, v in reference.state_dict().items()}}
