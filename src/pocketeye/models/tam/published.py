"""Which weights of trackers there are: the published EfficientTAM files, and ours that come along."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_TRACKER = "pocketeye_tam_nano"
"""The tracker whose weights and graphs come with the package."""
REPO = "yunyangx/efficient-track-anything"
_BUNDLED = Path(__file__).resolve().parents[2] / "weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFile:
    """Describe a file that the authors published; ``size_bytes`` is None where only MB are known."""

    variant: str
    sha256: str
    size_bytes: int | None = None
    licence: str = "Apache-2.0"

    @property
    def file_name(self) -> str:
        return f"{self.variant}.pt"

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{REPO}/resolve/main/{self.file_name}"


PUBLISHED: Mapping[str, PublishedFile] = {
    variant: PublishedFile(variant=variant, sha256=sha256, size_bytes=size_bytes)
    for variant, size_bytes, sha256 in (
        ("efficienttam_s", 136_375_868,
         "2b572be30d9e96ee29c8d785fe157c6b079ede7d56fbc8a3671d4120e63c89cd"),
        ("efficienttam_s_1", 136_376_327,
         "4fd5d1f7ae08a7e15086623bf8b12f0b111b773b15564b43c0a5d451fc1a4267"),
        ("efficienttam_s_2", 136_376_327,
         "253e490b4a3d56eedd64e4d466155ec538d1289f52abe78b091b14caefd92343"),
        ("efficienttam_s_512x512", 136_379_145,
         "67b5840012737ed2c94a4cb8787c5c1b27b3a946045d2e602e65ef77230b6085"),
        ("efficienttam_ti", 71_616_316,
         "acbb17b28cca1f860acee09c9ecb6efdb732080dc7a85a07292c31813175fa7d"),
        ("efficienttam_ti_1", None,
         "5294bd68820ee1ee5203d54065d4384a6aa1fb4fc632c147417478fcac9576ea"),
        ("efficienttam_ti_2", None,
         "d2a9ca0a736257ee9bb238d335ba7c794ad853e594cb4f679019ecc0854ee587"),
        ("efficienttam_ti_512x512", 71_620_052,
         "7d4d652a465f0081391050932f45d8a66768ccc99c8ea393ce8a5927e83f3b9b"),
    )
}  # fmt: skip


def checkpoint_folder() -> Path:
    """Return where published files are looked for.

    ``$POCKETEYE_WEIGHTS``, or a folder in the user's cache.
    """
    given = os.environ.get("POCKETEYE_WEIGHTS")
    return Path(given) if given else Path.home() / ".cache" / "pocketeye" / "weights"


def bundled_graphs(name: str) -> Path | None:
    """Return the folder of a tracker's exported graphs that come with the package; None without."""
    path = _BUNDLED / f"{name}.onnxruntime"
    return path if path.is_dir() else None


def bundled_weights(name: str) -> Path | None:
    """Weights of one of our own trackers that come with the package, None where there are none."""
    path = _BUNDLED / f"{name}.safetensors"
    return path if path.is_file() else None
