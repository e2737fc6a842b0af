"""Shared by all tests: one thread a process (the suite runs in parallel), no hub, real data if any."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)

_DATA = Path(os.environ.get("POCKETEYE_DATA", Path(__file__).parents[2] / "shared" / "datasets"))


def pytest_collection_finish() -> None:
    """Leave what was imported out of garbage collections, which took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 10, 10)  # Python's own 700 is for programs that allocate little


def pytest_unconfigure() -> None:
    gc.unfreeze()  # for libraries that look for leaks at the end


@pytest.fixture
def datasets() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    if not _DATA.is_dir():
        pytest.skip("no data sets here (POCKETEYE_DATA)")
    return _DATA


@contextmanager
def coarse_figures() -> Iterator[None]:
    """Draw with fewer pixels and without fitting the layout.

    A toy training takes as long as its two figures; the tests of figures draw them as they are.
    """
    save = Figure.savefig

    def savefig(self: Figure, *args: Any, dpi: float, **options: Any) -> None:
        self.set_layout_engine("none")
        save(self, *args, dpi=dpi / 4, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let files of this process grow to so many bytes only, as on a disk that gets full."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def randomise_bn(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give BN statistics and affines that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            with torch.no_grad():
                m.running_mean.normal_(0, 0.1, generator=generator)
                m.running_var.uniform_(0.5, 2.0, generator=generator)
                if m.affine:
                    m.weight.uniform_(0.5, 1.5, generator=generator)
                    m.bias.normal_(0, 0.1, generator=generator)
    return module
