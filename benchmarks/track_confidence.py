"""The curve that makes a tracker's signals a confidence, and how far that can be trusted.

    python -m benchmarks.track_confidence follow --data ../shared/datasets/davis2016-train --split dev
    python -m benchmarks.track_confidence fit

``follow`` follows the first mask of every clip once (a minute on one core for the six of DAVIS) and
keeps a row for each tracked frame in OUT.csv: the signals of the answer
(:mod:`pocketeye.tracking.video.signals`) and how right it was (J). ``fit`` needs that file alone. It
puts the curve of all clips beside the weights, and writes OUT.json and OUT.md: how well the curve of
all clips but one does on that one. To be run again whenever the weights change.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import tables
from scipy.optimize import minimize
from scipy.stats import rankdata

from pocketeye.data.vos.layouts import load_videos
from pocketeye.metrics import region_similarity
from pocketeye.runs import sha256_of, write_atomic, write_json
from pocketeye.tracking import load_tracker
from pocketeye.tracking.evaluation.follow import ClipFrames, truth_of
from pocketeye.tracking.networks import weights_file
from pocketeye.tracking.video.confidence import LOW, ConfidenceCurve, beside
from pocketeye.tracking.video.signals import Signals

COLUMNS = ("weights_sha256", "clip", "object", "frame", "j", *Signals._fields)
RIGHT = 0.5  # a mask of this J or more is right: DAVIS counts its recall from there too
PENALTY = 0.001  # of squared weights in units of a signal's spread: frames of a clip are much alike
BINS = 5  # six clips fill no more


def follow(model: str, checkpoint: Path | None, data: str, split: str, path: Path) -> None:
    """Write a row per tracked frame and object."""
    tracker = load_tracker(model, checkpoint, device="cpu")
    digest = sha256_of(weights_file(model, checkpoint))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for clip in load_videos(data, split):
            with tracker.open(ClipFrames(clip), keep_images=False) as session:
                for object_id, first in clip.first_frames.items():
                    session.add(object_id, frame=first, mask=truth_of(clip, first, object_id))
                for result in session.run(min(clip.first_frames.values())):
                    assert result.masks is not None
                    frame = result.frame
                    for mask, signals, number in zip(
                        result.masks, result.signals, result.ids, strict=True
                    ):
                        if frame not in clip.annotated or frame <= clip.first_frames[number]:
                            continue
                        j = region_similarity(mask.dense(), truth_of(clip, frame, number))
                        row = [f"{value:.5g}" for value in (j, *signals)]
                        writer.writerow([digest, clip.name, number, frame, *row])


def fitted(signals: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return a weight for each signal, none below 0, and the intercept: a logistic regression.

    More of a signal must not lower the confidence: on six clips it would by chance (a mask that stands
    still beside the object agrees with itself), and mislead on others.
    """
    mean, spread = signals.mean(0), signals.std(0) + 1e-9
    x, share = (signals - mean) / spread, weight / weight.sum()

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ theta[:-1] + theta[-1]
        cost = share @ (np.logaddexp(0, z) - right * z) + PENALTY * (theta[:-1] ** 2).sum()
        off = share * (1 / (1 + np.exp(-z)) - right)
        return float(cost), np.append(x.T @ off + 2 * PENALTY * theta[:-1], off.sum())

    count = signals.shape[1]
    bounds = [(0, None)] * count + [(None, None)]
    theta = minimize(loss, np.zeros(count + 1), jac=True, bounds=bounds).x
    weights = theta[:-1] / spread
    return np.append(weights, theta[-1] - weights @ mean)


def confidence(signals: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return the probability of each row."""
    return np.asarray(1 / (1 + np.exp(-(signals @ theta[:-1] + theta[-1]))))


def left_out(signals: np.ndarray, right: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Return the confidence of each row by the curve of the other clips."""
    found = np.zeros(len(right))
    for clip in np.unique(clips):
        out = clips == clip
        found[out] = confidence(
            signals[out], fitted(signals[~out], right[~out], clip_weights(clips[~out]))
        )
    return found


def clip_weights(clips: np.ndarray) -> np.ndarray:
    """Return weights with which every clip counts alike."""
    return np.array([1 / np.count_nonzero(clips == clip) for clip in clips])


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a positive row has the higher score."""
    num_pos = int(positive.sum())
    num_neg = len(positive) - num_pos
    if not num_pos or not num_neg:
        return float("nan")
    ranks = rankdata(score)[positive].sum()
    return float((ranks - num_pos * (num_pos + 1) / 2) / (num_pos * num_neg))


def judged(found: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Say how well calibrated confidences are, and what a warning below 0.5 is worth."""
    wrong, low = ~right, found < LOW
    which = np.minimum((found * BINS).astype(int), BINS - 1)
    table = [
        {"low": k / BINS, "high": (k + 1) / BINS, "n": int(inside.sum()),
         "confidence": float(found[inside].mean()), "right": float(right[inside].mean())}
        for k in range(BINS) if (inside := which == k).any()
    ]  # fmt: skip
    return {
        "auc": auc(-found, wrong),
        "ece": sum(r["n"] * abs(r["confidence"] - r["right"]) for r in table) / len(right),
        "brier": float(((found - right) ** 2).mean()),
        "warned": int(low.sum()),
        "warned_and_wrong": int((low & wrong).sum()),
        "wrong": int(wrong.sum()),
        "reliability": table,
    }


def fit(rows: list[dict[str, str]], weights: Path, out: Path) -> None:
    """Fit, judge, and write everything."""
    digest = sha256_of(weights)
    if {row["weights_sha256"] for row in rows} != {digest}:
        raise SystemExit(f"{out}.csv is of other weights than {weights}: run follow again")
    clips = np.array([row["clip"] for row in rows])
    signals = np.array([[float(row[name]) for name in Signals._fields] for row in rows])
    right = np.array([float(row["j"]) for row in rows]) >= RIGHT
    theta = fitted(signals, right, clip_weights(clips))
    names = np.unique(clips)
    curve = ConfidenceCurve(
        weights_sha256=digest,
        weights={name: float(w) for name, w in zip(Signals._fields, theta[:-1], strict=True) if w},
        intercept=float(theta[-1]),
        fitted_on=f"{len(rows)} frames of {len(names)} clips: {', '.join(names)}",
    )
    curve.save(weights)
    found = left_out(signals, right, clips)
    presence = 1 / (1 + np.exp(-signals[:, Signals._fields.index("score")]))
    report = {
        "threshold": LOW,
        "right_from": RIGHT,
        "curve": asdict(curve),
        "num_frames": len(rows),
        "left_out": judged(found, right),
        "score_alone": judged(presence, right),
        "clips": {
            str(name): {"n": int((clips == name).sum()), "right": float(right[clips == name].mean()),
                        "confidence": float(found[clips == name].mean()),
                        "score": float(presence[clips == name].mean())}
            for name in names
        },
    }  # fmt: skip
    write_json(out.with_suffix(".json"), report)
    write_atomic(out.with_suffix(".md"), tables.track_confidence(report))
    print(f"wrote {beside(weights)}, {out}.json and {out}.md")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("follow", "fit"))
    parser.add_argument("--model", default="pocketeye_tam_nano")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data", default="../shared/datasets/davis2016-train")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--out", type=Path, default=Path("results/track-confidence"))
    args = parser.parse_args()
    table = args.out.with_suffix(".csv")
    if args.step == "follow":
        follow(args.model, args.checkpoint, args.data, args.split, table)
        return
    with table.open(newline="", encoding="utf-8") as file:
        fit(list(csv.DictReader(file)), weights_file(args.model, args.checkpoint), args.out)


if __name__ == "__main__":
    main()
