"""Leave what proves an artefact on another machine, where the runtime does not run on this one."""

from __future__ import annotations

import inspect
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pocketeye import runs
from pocketeye.artifacts import coreml_check
from pocketeye.exporting.inputs import Inputs
from pocketeye.runtimes import Artifact, ParityReport, eval_mode
from pocketeye.runtimes.parity import THRESHOLDS, Limits

CHECK = "check.py"
OF_A_CHECK = (CHECK, coreml_check.SAID, coreml_check.IMAGES, coreml_check.RESULT)
# Images of 600 kB each travel with the package.
_MOST_IMAGES = 16


def write_check(
    module: nn.Module, artifact: Artifact, inputs: Inputs, folder: Path
) -> ParityReport:
    """Write ``check.py`` with images and the network's answers; returns a report that says "not run"."""
    images = np.concatenate([arrays[0] for arrays in inputs[:_MOST_IMAGES]])
    with eval_mode(module), torch.inference_mode():
        # One by one, as the package is run.
        expected = torch.cat([module(torch.from_numpy(image[None])) for image in images]).numpy()
    np.savez_compressed(folder / coreml_check.IMAGES, inputs=images, expected=expected)
    limits = THRESHOLDS[artifact.precision]
    said = {
        "precision": artifact.precision,
        "input_names": artifact.extra["input_names"],
        "output_names": artifact.extra["output_names"],
        "PASS": _plain(limits.passing),
        "WARN": _plain(limits.warning),
    }
    runs.write_json(folder / coreml_check.SAID, said)
    runs.write_atomic(folder / CHECK, inspect.getsource(coreml_check))
    return ParityReport.not_run(
        artifact.precision,
        f"{artifact.runtime} runs on a Mac: copy the folder there and run 'python {CHECK}' in it",
    )


def _plain(limits: Limits) -> dict[str, float | None]:
    # JSON has no infinity: a limit that there is none of is null.
    return {key: v if math.isfinite(v) else None for key, v in asdict(limits).items()}
