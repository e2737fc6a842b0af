"""Find what pages are made of: our own files, and ONNX Runtime Web, which npm brings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pocketeye.errors import MissingFile

PAGES = Path(__file__).parent / "pages"
ORT_VARIABLE = (
    "POCKETEYE_ORT_WEB"  # a folder with ONNX Runtime Web's files, where `make web` was not run
)
_FETCHED = Path(__file__).parent / "node_modules" / "onnxruntime-web"
# What pages load: WASM alone, and the build with WebGPU. The rest of the package is 130 MB.
ORT_WASM = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
ORT_WEBGPU = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")


def ort_folder() -> Path:
    """Return the folder of ONNX Runtime Web's files.

    Raises:
        MissingFile: they were not fetched; the sentence says how.
    """
    named = os.environ.get(ORT_VARIABLE)
    folder = Path(named) if named else _FETCHED / "dist"
    if not all((folder / name).is_file() for name in ORT_WASM):
        raise MissingFile(
            f"there is no ONNX Runtime Web in {folder}: run `make web` in a copy of the repository, or "
            f"`npm install onnxruntime-web` anywhere and set {ORT_VARIABLE} to its folder "
            "node_modules/onnxruntime-web/dist"
        )
    return folder


def ort_version() -> str:
    """Return the version of ONNX Runtime Web that pages get.

    Raises:
        MissingFile: as :func:`ort_folder`.
    """
    described = ort_folder().parent / "package.json"
    if not described.is_file():
        return "unknown"
    return str(json.loads(described.read_text(encoding="utf-8")).get("version", "unknown"))
