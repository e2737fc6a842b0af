"""Make blocks and networks that can be timed: built, given sane statistics, exported, bound."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.latency.protocol import Call
from pocketeye.models import (
    Architecture,
    FBNet,
    PlacedBlock,
    RawSemantic,
    SearchSpace,
    build_block,
    create_semantic,
    fuse,
)
from pocketeye.models.dense.pixel_head import PixelHead, SegmenterSpec, map_shapes
from pocketeye.models.ops import SkipOp
from pocketeye.models.size import sides, size_text
from pocketeye.runtimes.base import Boundary, Executable, ExportRequest, Precision, Runtime

Shape = tuple[int, int, int]
_Module = TypeVar("_Module", bound=nn.Module)


def graph_key(placed: PlacedBlock) -> str:
    """Return a key that blocks of the same graph share, however their ops are spelled; "" for a skip."""
    spec = placed.spec
    if isinstance(spec.parsed, SkipOp):
        return ""
    return f"{spec.parsed}:{spec.in_chs}>{spec.out_chs}/{spec.stride}@{size_text(placed.size)}"


def block_module(placed: PlacedBlock, seed: int = 0) -> nn.Module:
    """Build the block in eval mode, weights and statistics drawn from ``seed`` and its own name."""
    spec = placed.spec
    with torch.random.fork_rng(devices=[]):
        # crc32 and not hash(), which differs from process to process.
        torch.manual_seed(zlib.crc32(f"{seed}/{placed}".encode()))
        return settle(build_block(spec), placed.input_shape)


def network_module(
    architecture: Architecture, seed: int = 0, segmenter: SegmenterSpec | None = None
) -> nn.Module:
    """Build the whole network in eval mode: the classifier, or a segmenter on its maps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed}/{architecture}".encode()))
        if segmenter is None:
            return settle(FBNet(architecture), input_shape(architecture))
        network = create_semantic(
            architecture, segmenter.num_classes, norms="live", drop_rate=0.0,
            fpn_channels=segmenter.fpn_channels, channels=segmenter.head_channels,
        )  # fmt: skip
        # Settled before it is cut: statistics are made by a pass through the whole network.
        return RawSemantic(settle(network, input_shape(architecture))).eval()


def input_shape(architecture: Architecture) -> Shape:
    """Return (channels, height, width) of the images."""
    return (architecture.in_chans, *sides(architecture.input_size))


class MapsToPixels(nn.Module):
    """Compute neck and head of a segmenter alone: the four maps of a space to logits at stride 4."""

    def __init__(self, space: SearchSpace, spec: SegmenterSpec) -> None:
        super().__init__()
        self.head = PixelHead(space, spec, drop_rate=0.0)

    def forward(self, *maps: torch.Tensor) -> torch.Tensor:
        return self.head.on_maps(maps)


def neck_and_head(space: SearchSpace, spec: SegmenterSpec, seed: int = 0) -> nn.Module:
    """Build pyramid and head of a segmenter in eval mode, drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed}/{spec}/{space.name}".encode()))
        return settle(MapsToPixels(space, spec), *map_shapes(space))


def settle(module: _Module, *input_shapes: Shape) -> _Module:
    """Give every BatchNorm a random affine and the statistics of one random batch; eval mode.

    Activations then stay of the order of 1 in every layer. Untrained statistics let them shrink
    into denormals or grow without bound, and the arithmetic is timed as slow.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for m in norms:
        nn.init.uniform_(m.weight, 0.5, 1.5)  # at 1, a lost scale would pass verify()
        nn.init.normal_(m.bias, 0.0, 0.2)
        m.reset_running_stats()
        m.momentum = None  # cumulative average: exactly the statistics of the batch
    module.train()
    with torch.no_grad():
        # Two images: the statistics of one image at 1x1 pixels would have no variance.
        module(*(torch.randn(2, *shape) for shape in input_shapes))
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum
    return module.eval()


def open_graph(
    module: nn.Module,
    input_shape: Shape,
    folder: Path,
    *,
    runtime: Runtime,
    precision: Precision,
    boundary: Boundary = "float",
    threads: int = 1,
) -> Executable:
    """Export for a batch of one image, BN folded as in a network to ship, and load.

    Quantised ends only where the runtime has them.
    """
    request = ExportRequest(
        fuse(nn.Sequential(module)),  # fuse() replaces the parts of a module, not the module itself
        (torch.zeros(1, *input_shape),),
        precision=precision,
        for_timing=True,
        boundary=boundary,
    )
    return runtime.load(runtime.export(request, folder), threads=threads)


def open_shipped(
    module: nn.Module,
    input_shapes: Sequence[Shape],
    folder: Path,
    *,
    runtime: Runtime,
    precision: Precision,
    threads: int = 1,
) -> Executable:
    """Export as a network to ship is, seconds long: for pyramids, which fast writers do not know."""
    examples = tuple(torch.zeros(1, *shape) for shape in input_shapes)
    names = [f"map{number}" for number in range(len(examples))]
    rng = np.random.default_rng(0)
    # Noise calibrates int8 well enough to be timed; what the graph answers is thrown away.
    noise = [rng.standard_normal(x.shape).astype(np.float32) for x in examples]
    request = ExportRequest(
        fuse(module), examples, precision=precision, calibration=[tuple(noise)], input_names=names
    )
    return runtime.load(runtime.export(request, folder), threads=threads)


def random_inputs(executable: Executable, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw inputs: N(0, 1) for floats, the whole range for bytes."""
    rng = np.random.default_rng(seed)
    arrays = []
    array: np.ndarray
    for spec in executable.artifact.inputs:
        # Bytes over their whole range, as a quantiser spreads activations; floats as after a norm.
        if np.issubdtype(np.dtype(spec.dtype), np.integer):
            info = np.iinfo(np.dtype(spec.dtype))
            array = rng.integers(info.min, info.max, spec.shape, endpoint=True)
        else:
            array = rng.standard_normal(spec.shape)
        arrays.append(array.astype(spec.dtype))
    return tuple(arrays)


def bind(executable: Executable) -> Call:
    """Return the call that is timed."""
    return executable.bind(*random_inputs(executable))


class Bench:
    """Export graphs into a folder, for one runtime, precision and number of threads.

    With a ``segmenter`` whole networks are those: pyramid and head on the maps of a backbone.
    """

    def __init__(
        self,
        folder: Path,
        runtime: Runtime,
        threads: int,
        precision: Precision,
        segmenter: SegmenterSpec | None = None,
    ) -> None:
        runtime.require_here("a latency table")
        if precision not in runtime.precisions:
            raise InvalidValue(
                f"the runtime {runtime.name} has no precision {precision!r} "
                f"(it has {', '.join(runtime.precisions)})"
            )
        self.folder, self.runtime = folder, runtime
        self.threads, self.precision, self.segmenter = threads, precision, segmenter
        self._count = 0

    def block(self, placed: PlacedBlock) -> Call:
        """Open a block alone; in int8 its input and output are bytes, as inside an int8 network."""
        # With float ends a block would be charged with conversions that its neighbours do not pay.
        boundary: Boundary = "quantized" if self.precision == "int8" else "float"
        return bind(self._open(block_module(placed), placed.input_shape, boundary))

    def network(self, architecture: Architecture) -> Call:
        """Open a whole network, floats in and out."""
        module, shape = (
            network_module(architecture, segmenter=self.segmenter),
            input_shape(architecture),
        )
        return bind(
            self._open(module, shape) if self.segmenter is None else self._ship(module, shape)
        )

    def neck_and_head(self, space: SearchSpace) -> Call:
        """Open pyramid and head of the segmenter alone, on maps of the sizes they have in ``space``."""
        assert self.segmenter is not None
        return bind(self._ship(neck_and_head(space, self.segmenter), *map_shapes(space)))

    def empty(self) -> Call:
        """Open a graph that does nothing, to time what a call costs by itself."""
        return bind(self._open(nn.Identity(), (1, 1, 1)))

    def verify(self, placed: PlacedBlock) -> None:
        """Prove that the graph of a block computes what its module computes (in fp32).

        An export that computes something else is our mistake: AssertionError.
        """
        from pocketeye.runtimes.parity import check_parity

        module = block_module(placed)
        executable = open_graph(
            module, placed.input_shape, self._folder(), runtime=self.runtime, precision="fp32"
        )
        report = check_parity(module, executable, [random_inputs(executable)], "fp32")
        assert report.status != "FAIL", (
            f"{placed}: the exported graph differs, rel {report.rel:.1e}"
        )

    def _open(self, module: nn.Module, shape: Shape, boundary: Boundary = "float") -> Executable:
        return open_graph(
            module,
            shape,
            self._folder(),
            runtime=self.runtime,
            precision=self.precision,
            boundary=boundary,
            threads=self.threads,
        )

    def _ship(self, module: nn.Module, *shapes: Shape) -> Executable:
        return open_shipped(
            module, shapes, self._folder(), runtime=self.runtime, precision=self.precision,
            threads=self.threads,
        )  # fmt: skip

    def _folder(self) -> Path:
        self._count += 1
        # Numbered: names of blocks hold characters that not every file system takes.
        return self.folder / f"graph{self._count}"
