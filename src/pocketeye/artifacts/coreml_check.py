"""Check this Core ML package on a Mac: python check.py

Needs macOS, numpy and coremltools (pip install numpy coremltools). Runs the package on the stored
images, compares its answers with those of the network it was made of, times it, and writes
check-result.json. The exit code is 1 where they differ too much.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE, SAID, IMAGES, RESULT = (
    "model.mlpackage", "check.json", "check.npz", "check-result.json",
)  # fmt: skip
_TIMED = 50


def compare(expected: np.ndarray, got: np.ndarray) -> dict[str, Any]:
    """Return the relative error, the PSNR in dB and the share of equal classes (None for maps)."""
    want, difference = expected.astype(np.float64), got.astype(np.float64) - expected
    rms, peak = float(np.sqrt(np.mean(difference**2))), float(np.ptp(want))
    psnr_db = float(20 * np.log10(peak / rms)) if rms > 0 and peak > 0 else None
    classes = expected.ndim == 2 and expected.shape[1] > 1
    return {
        "rel": float(np.linalg.norm(difference)) / max(float(np.linalg.norm(want)), 1e-30),
        "psnr_db": psnr_db,
        "top1_agreement": float(np.mean(expected.argmax(1) == got.argmax(1))) if classes else None,
    }


def within(found: dict[str, Any], limits: dict[str, Any]) -> bool:
    """Tell whether the numbers keep the limits; one that is None is no limit, or has no error."""
    worst, least, equal = (limits[key] for key in ("max_rel", "min_psnr_db", "min_top1_agreement"))
    return bool(
        np.isfinite(found["rel"])
        and (worst is None or found["rel"] <= worst)
        and (least is None or found["psnr_db"] is None or found["psnr_db"] >= least)
        and (equal is None or found["top1_agreement"] is None or found["top1_agreement"] >= equal)
    )


def main(folder: Path) -> int:
    """Run the check; returns the exit code."""
    import coremltools  # at hand on the Mac alone

    said = json.loads((folder / SAID).read_text(encoding="utf-8"))
    stored = np.load(folder / IMAGES)
    package = coremltools.models.MLModel(str(folder / PACKAGE))
    (name,), answer = said["input_names"], said["output_names"][0]
    inputs = [{name: image[None]} for image in stored["inputs"]]
    got = np.concatenate([package.predict(one)[answer] for one in inputs])
    found = compare(stored["expected"], got)
    verdict = "FAIL"
    for status in ("WARN", "PASS"):
        if within(found, said[status]):
            verdict = status
    milliseconds = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        package.predict(inputs[0])
        milliseconds.append(1e3 * (time.perf_counter() - start))
    result = {
        **found, "status": verdict, "n": len(got), "precision": said["precision"],
        "p50_ms": float(np.median(milliseconds)), "device": platform.platform(),
        "coremltools": coremltools.__version__,
    }  # fmt: skip
    text = json.dumps(result, indent=1) + "\n"
    (folder / RESULT).write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 1 if verdict == "FAIL" else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
