"""Run ``pocketeye profile``: the time of every operator and module, of networks side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue
from pocketeye.exporting.bench.profile_page import MOST_COLUMNS, most_expensive, save_page
from pocketeye.exporting.bench.profiling import (
    Profile,
    ProfileOptions,
    profile_models,
    save_records,
)
from pocketeye.exporting.exported import ExportOptions
from pocketeye.outputs import require_folder
from pocketeye.runtimes import Precision
from pocketeye.text import human_percent, text_table
from pocketeye.verb_result import VerbResult

_MOST_SHOWN = 10  # operators of each network on the terminal; the page has all


@dataclass(frozen=True, kw_only=True)
class ProfileResult(VerbResult):
    """Hold profiles and the files they were written to."""

    profiles: tuple[Profile, ...]
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"profiles": [profile.to_dict() for profile in self.profiles]}

    def lines(self) -> list[str]:
        lines: list[str] = []
        for profile in self.profiles:
            rows = [
                (module, op, f"{ms:.3f}", human_percent(share))
                for module, op, ms, share in most_expensive(profile, _MOST_SHOWN)
            ]
            lines += [
                f"[bold]{profile.label}[/bold]: {profile.record.latency_ms:.3f} ms a call, "
                f"{len(profile.ops)} operators take {profile.ops_ms:.3f}, "
                f"{profile.unattributed_ms:.3f} not attributed",
                *text_table(("module", "operator", "ms", "share"), rows, right=range(2, 4)),
            ]
            if profile.watching_ms:
                lines.append(
                    f"watching cost {1000 * profile.watching_ms:.1f} µs an operator, which is taken off"
                )
            if profile.record.disturbed:
                lines.append("the machine was busy: measure again")
        return lines

    def written(self) -> list[Path]:
        return list(self.files)


def profile(
    models: list[str],
    *,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    precisions: tuple[Precision, ...] = ("fp32",),
    threads: int = 1,
    input_size: int | None = None,
    runs: int = 50,
    depth: int = 2,
    samples: int = 16,
    out: Path = Path("out/profile"),
) -> ProfileResult:
    """Show where a network's time goes: by operator and module, two networks or more side by side.

    Args:
        models: names from `pocketeye list`, run folders, or folders of exported artefacts.
        runtimes: runtimes to export to (artefacts keep their own).
        precisions: precisions to export in (artefacts keep their own).
        threads: threads of every runtime.
        input_size: side of the image in pixels; each network's own by default.
        runs: profiled calls of each network; an operator's time is their median.
        depth: parts of a module's path by which times are added up: with 2 stages.0.blocks.1.mlp counts
            as stages.0.
        samples: images that calibrate int8.
        out: folder of profile.html, .png, .csv and .json, and of artefacts made on the way.

    Raises:
        InvalidValue: unknown model or runtime, more than four columns, the run of a detector or
            segmenter (profile its artefact), or a network that a runtime cannot run.
        MissingFile: no network at a path.
    """
    # Before minutes of exports: the folder must be there to write to.
    require_folder(out)
    exports = [
        ExportOptions(to=to, precision=precision, input_size=input_size, samples=samples,
                      threads=threads)
        for to, precision in product(runtimes, precisions)
    ]  # fmt: skip
    if len(models) * len(exports) > MOST_COLUMNS:
        raise InvalidValue(
            f"a page shows at most {MOST_COLUMNS} networks side by side, and these are "
            f"{len(models)} × {len(runtimes)} runtimes × {len(precisions)} precisions: name fewer"
        )
    profiles = profile_models(models, ProfileOptions(exports=exports, num_runs=runs, out=out))
    files = [*save_page(profiles, out, depth), *save_records(profiles, out)]
    return ProfileResult(profiles=profiles, files=tuple(files))
