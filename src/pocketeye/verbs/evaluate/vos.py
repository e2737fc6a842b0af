"""Run ``pocketeye eval`` of trackers: how well objects are followed through annotated clips."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.data import VideoSet, load_videos
from pocketeye.devices import Device
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import own_folder
from pocketeye.outputs import require_folder
from pocketeye.text import problem_lines, text_table
from pocketeye.tracking.evaluation.evaluate import (
    MAX_FRAMES,
    PromptKind,
    Protocol,
    VosPlan,
    evaluate_folder,
    evaluate_vos,
)
from pocketeye.tracking.evaluation.report import save_vos
from pocketeye.tracking.evaluation.result import Mean, VosResult, beaten_by
from pocketeye.tracking.evaluation.vos_models import BASELINES, open_vos_model
from pocketeye.tracking.networks import DEFAULT
from pocketeye.verb_result import Evaluation


@dataclass(frozen=True, kw_only=True)
class VosEvaluateResult(Evaluation):
    """Compare models on one set of clips, the one that was asked for first."""

    results: tuple[VosResult, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    command: tuple[str, ...]

    @property
    def jf(self) -> float:
        """Mean J&F of the model, 0 to 1."""
        return self.results[0].mean.jf

    def to_dict(self) -> dict[str, Any]:
        first, *others = (result.to_dict() for result in self.results)
        return {
            **first,
            "doubts": [str(doubt) for doubt in self.doubts],
            "baselines": others,
            "problems": list(self.problems),
            "files": list(self.files),
        }

    def lines(self) -> list[str]:
        result, *others = self.results
        header = ["sequence", "J&F", "J", "F", *(f"{other.model} J&F" for other in others)]
        beside = [other.by_sequence() for other in others]
        rows = [
            [name, *_cells(mean), *(_percent(means[name].jf) for means in beside)]
            for name, mean in result.by_sequence().items()
        ]
        total = ["mean", *_cells(result.mean), *(_percent(o.mean.jf) for o in others)]
        table = text_table(header, [*rows, total], right=range(1, len(header)))
        doubts = doubt_lines(self.doubts)
        return [*table, *self._summary(), *doubts, *problem_lines(self.problems)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why the scores should not be taken at their word, if there is a reason."""
        result, *others = self.results
        return (*result.doubts, *beaten_by(result, others))

    def _summary(self) -> Iterator[str]:
        for result in self.results:
            mean, fps = result.mean, result.frames_per_second
            speed = f" · {fps:.1f} frames/s" if fps else ""
            yield (
                f"[bold]{escape(result.model)}[/bold] ({result.prompt}, {result.protocol}): "
                f"J&F {_percent(mean.jf)} · J recall {_percent(mean.j.recall)}, decay "
                f"{_percent(mean.j.decay)} · F recall {_percent(mean.f.recall)}, decay "
                f"{_percent(mean.f.decay)}{speed}"
            )
        count, data = len(self.results[0].scores), escape(self.results[0].data)
        yield f"{count} object{'s' if count > 1 else ''} of {data}"

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        # Baselines are there already, or were all that was asked for.
        others = {result.model for result in self.results}
        if others & set(BASELINES) or not self.command:
            return []
        return [shlex.join([*self.command, "--baselines"])]


def evaluate_following(
    model: str | None,
    *,
    data: str,
    split: str | None,
    prompt: PromptKind,
    protocol: Protocol,
    max_frames: int | None,
    checkpoint: Path | None,
    baselines: bool,
    results: Path | None,
    device: Device,
    out: Path | None,
) -> VosEvaluateResult:
    """See :func:`pocketeye.verbs.evaluate.verb.evaluate`."""
    learnt = model is not None and model not in BASELINES
    folder = out or (own_folder(str(model)) if learnt else None)
    if folder is not None:
        require_folder(folder)
    most = MAX_FRAMES if max_frames is None else max_frames
    plan = VosPlan(prompt=prompt, protocol=protocol, max_frames=most)
    if protocol == "semi" and max_frames is not None:
        raise InvalidValue("--corrected-frames belongs to --protocol offline or online")
    if results is not None:
        _check_alone(model, checkpoint, (prompt, protocol))
    elif model is None:
        model = DEFAULT
    # the network first: a mistake there should not wait for the data
    follower = None if model is None else open_vos_model(model, checkpoint, device=device)
    if model in BASELINES and (prompt, protocol) != ("mask", "semi"):
        raise InvalidValue(f"{model} can be shown a mask only: leave --prompt and --protocol out")
    # Not beside itself.
    compared = [name for name in BASELINES if name != model] if baselines else []
    others = {name: open_vos_model(name) for name in compared}
    videos = load_videos(data, split)
    if follower is not None and model is not None:
        first = evaluate_vos(follower, videos, plan, name=_short(model))
    else:
        assert results is not None
        first = evaluate_folder(results, videos)
    found = [first, *(evaluate_vos(other, videos, name=name) for name, other in others.items())]
    return _finish(
        found, videos, folder, _command(model, data, split, prompt, protocol, checkpoint)
    )


def _check_alone(
    model: str | None, checkpoint: Path | None, shown: tuple[PromptKind, Protocol]
) -> None:
    """Raise InvalidValue for what means nothing to masks made elsewhere."""
    if model is not None or checkpoint is not None:
        raise InvalidValue(
            f"score either a model ({model or checkpoint}) or the masks of --results, not both"
        )
    if shown != ("mask", "semi"):
        raise InvalidValue(
            "--results are scored as masks that began with the first one: leave --prompt and "
            "--protocol out"
        )


def _finish(
    found: list[VosResult], videos: VideoSet, folder: Path | None, command: tuple[str, ...]
) -> VosEvaluateResult:
    late = [text for result in found for text in result.problems]
    # A clip that cannot be read is noted once, whoever follows it.
    problems = tuple(dict.fromkeys([*videos.problems, *late]))
    return VosEvaluateResult(
        results=tuple(found),
        problems=problems,
        files=tuple(save_vos(found, folder, videos.problems)) if folder else (),
        command=command,
    )


def _short(model: str) -> str:
    # A run is called by its folder's name, whatever path leads there.
    return Path(model).resolve().name if Path(model).is_dir() else model


def _command(
    model: str | None, data: str, split: str | None, prompt: str, protocol: str,
    checkpoint: Path | None,
) -> tuple[str, ...]:  # fmt: skip
    """Spell the command out; empty for masks made elsewhere."""
    if model is None:
        return ()
    words = ["pocketeye", "eval", model, "--data", data]
    words += ["--split", split] if split else []
    words += ["--prompt", prompt] if prompt != "mask" else []
    words += ["--protocol", protocol] if protocol != "semi" else []
    words += ["--checkpoint", str(checkpoint)] if checkpoint else []
    return tuple(words)


def _cells(mean: Mean) -> list[str]:
    return [_percent(mean.jf), _percent(mean.j.mean), _percent(mean.f.mean)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
