"""Run ``pocketeye eval`` of trackers: how well objects are followed through annotated clips."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data import VideoSet, load_videos
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import own_folder
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.outputs import require_folder
from pocketeye.tracking.evaluation.evaluate import (
    MAX_FRAMES,
    PromptKind,
    Protocol,
    VosPlan,
    evaluate_folder,
    evaluate_vos,
)
from pocketeye.tracking.evaluation.report import save_vos
from pocketeye.tracking.evaluation.result import VosResult
from pocketeye.tracking.evaluation.vos_models import BASELINES, open_vos_model
from pocketeye.verbs.evaluate.vos_result import VosEvaluateResult, short_name


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
        model = DEFAULT_TRACKER
    # the network first: a mistake there should not wait for the data
    follower = None if model is None else open_vos_model(model, checkpoint, device=device)
    if model in BASELINES and (prompt, protocol) != ("mask", "semi"):
        raise InvalidValue(f"{model} can be shown a mask only: leave --prompt and --protocol out")
    # Not beside itself.
    compared = [name for name in BASELINES if name != model] if baselines else []
    others = {name: open_vos_model(name) for name in compared}
    videos = load_videos(data, split)
    if follower is not None and model is not None:
        first = evaluate_vos(follower, videos, plan, name=short_name(model))
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
