"""Tables from records: one function for every kind of record file in results/.

Benchmarks write their Markdown with these, and ``benchmarks/results.py`` writes it again from the stored
records, so that a table cannot say anything else than its record.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketeye.exporting.bench.table import BenchTable
from pocketeye.latency.record import LatencyRecord
from pocketeye.models._cards import card_for
from pocketeye.runs import write_atomic
from pocketeye.text import human_bytes, human_count, markdown_table

Record = dict[str, Any]
CASVIT_FORMS = ("eager", "eager fused", "plain", "fused", "int8")


def write_results(path: Path, record: Record, render: Callable[[Record], str]) -> None:
    """Write ``path``.json and the table of it, ``path``.md; print the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not with_suffix: names hold numbers with a point.
    write_atomic(path.with_name(path.name + ".json"), json.dumps(record, indent=1) + "\n")
    # From plain values, as they will be read back.
    text = render(json.loads(json.dumps(record)))
    write_atomic(path.with_name(path.name + ".md"), text)
    print(text)


def _markdown(record: Record, header: Any, rows: Any, right: range) -> str:
    lines = markdown_table(header, rows, right=right)
    caption = record.get("caption")
    return "\n".join([*lines, *(["", caption] if caption else [])]) + "\n"


def _ms(record: Record) -> float:
    return LatencyRecord.from_dict(record).latency_ms


def bench(record: Record) -> str:
    """Of ``pocketeye bench``."""
    return BenchTable.from_dict(record).markdown()


def backbones(record: Record) -> str:
    """Accuracy and latency of backbones under one recipe."""
    header = ("network", "params", "MACs", "ms fp32", "ms int8", "top-1 %", "± std", "seeds")
    rows = [
        (r["name"], human_count(r["params"]), human_count(r["macs"]), f"{r['latency_ms']['fp32']:.3f}",
         f"{r['latency_ms']['int8']:.3f}", f"{r['mean']:.2f}", f"{r['std']:.2f}", str(len(r["top1"])))
        for r in record["rows"]
    ]  # fmt: skip
    return _markdown(record, header, rows, range(1, len(header)))


def casvit(record: Record) -> str:
    """CAS-ViT in every form, beside its peers."""
    ms = {(r["model"], r["form"]): _ms(r["record"]) for r in record["rows"]}
    header = ("network", "params", "MACs", "published top-1 %",
              *(f"{form} ms" for form in CASVIT_FORMS), "fused ×", "int8 ×")  # fmt: skip
    rows = []
    for name in sorted(record["costs"], key=lambda name: ms[name, "fused"]):
        costs, plain = record["costs"][name], ms.get((name, "plain"))
        ratios = [f"{plain / ms[name, form]:.2f}" if plain else "" for form in ("fused", "int8")]
        times = [f"{ms[name, f]:.2f}" if (name, f) in ms else "" for f in CASVIT_FORMS]
        counts = (human_count(costs["deployed_params"]), human_count(costs["macs"]))
        rows.append((name, *counts, _published(name), *times, *ratios))
    return _markdown(record, header, rows, range(1, len(header)))


def _published(name: str) -> str:
    card = card_for(name)
    metric = card.top1 if card else None
    if metric is None:
        return ""
    return f"{metric.value}" + (f" ({metric.at})" if metric.at not in ("", "224") else "")


def int8(record: Record) -> str:
    """What int8 costs on trained networks."""
    ms = {(r["network"], r["form"]): _ms(r["record"]) for r in record["rows"]}
    header = ("network", "file", "top-1 %", "same answer as the network %", "SQNR dB", "ms", "×")
    rows = [
        (r["network"], r["form"], f"{100 * r['top1']:.2f}", f"{100 * r['agreement']:.2f}",
         f"{r['sqnr_db']:.1f}", f"{ms[r['network'], r['form']]:.3f}",
         f"{ms[r['network'], 'fp32'] / ms[r['network'], r['form']]:.2f}")
        for r in record["rows"]
    ]  # fmt: skip
    return _markdown(record, header, rows, range(2, len(header)))


def tracking_speed(record: Record) -> str:
    """Frames of a tracker in several forms; cells are named NETWORK FORM OBJECTS."""
    ms = {name: _ms(cell) for name, cell in record["cells"].items()}
    header = ("network", "form", "objects", "ms per frame", "share of plain", "times one object",
              "off by (std)")  # fmt: skip
    rows = []
    for name, mine in ms.items():
        network, form, num = name.split(" ")
        plain, one = ms.get(f"{network} plain {num}"), ms.get(f"{network} {form} 1")
        shares = ["" if base is None else f"{mine / base:.2f}" for base in (plain, one)]
        rows.append((network, form, num, f"{mine:.1f}", *shares, record["off_by"][name]))
    return _markdown(record, header, rows, range(2, len(header)))


def tracking_memory(record: Record) -> str:
    """Resident memory over a long video."""
    mb = record["resident_mb"]
    half = len(mb) // 2
    header = ("frames", "ms per frame", "objects added", "MB at first", "MB at most in the 1st half",
              "MB at most in the 2nd half", "MB at the end", "")  # fmt: skip
    row = (str(record["num_frames"]), f"{record['ms_per_frame']:.1f}", str(record["objects_added"]),
           *(f"{value:.0f}" for value in (mb[0], max(mb[:half]), max(mb[half:]), mb[-1])),
           "flat" if record["flat"] else "it grew")  # fmt: skip
    return _markdown(record, header, [row], range(len(header) - 1))


def tam_parity(record: Record) -> str:
    """How far our EfficientTAM is from the authors' code."""
    rows = []
    for name in ("efficienttam_ti_512x512", "efficienttam_ti_1"):
        plain, fast = record[name]["plain"], record[name]["onednn"]
        rows += [
            (name, stage, f"{off:.0e}", f"{fast[stage][0]:.0e}",
             "" if rounding is None else f"{rounding:.0e}")
            for stage, (off, rounding) in plain.items()
        ]  # fmt: skip
    clip = (f"{record['clip'][way]:.0e}" for way in ("plain", "onednn"))
    rows.append(("efficienttam_ti_512x512", "8 frames of a clip, 1 click", *clip, ""))
    header = ("network", "stage", "as the authors compute", "as a session computes", "rounding")
    return _markdown(record, header, rows, range(2, 5))


def tracker_ablations(record: Record) -> str:
    """What single choices bought when trackers were trained."""
    header = ("run", "params", "pixels", "look ms", "steps", "val IoU", "J&F mask", "J&F click")
    rows: list[tuple[str, ...]] = []
    for row in record["runs"]:
        mask, click = (100 * row["scores"][prompt]["jf"] for prompt in ("mask", "click"))
        # not every run was timed on a quiet core
        look = "" if row["look_ms"] is None else f"{row['look_ms']:.1f}"
        rows.append(
            (row["name"], f"{row['params'] / 1e6:.2f} M", str(row["image_size"][0]), look,
             str(row["steps"]), f"{100 * row['val_iou']:.1f}", f"{mask:.1f}", f"{click:.1f}")
        )  # fmt: skip
    for name, found in record["baselines"].items():
        rows.append((name, "", "", "", "", "", f"{100 * found['mask']['jf']:.1f}", ""))
    return _markdown(record, header, rows, range(1, len(header)))


def click_iou(record: Record) -> str:
    """IoU of a tracker's masks in photographs after one click and more."""
    clicks = record["clicks"]
    header = ("model", "images", "things", *(f"{n} click{'s' * (n > 1)}" for n in clicks))
    rows = [
        (row["model"], row["data"], str(row["things"]),
         *(f"{100 * row['iou'][str(n)]:.1f}" for n in clicks))
        for row in record["rows"]
    ]  # fmt: skip
    return _markdown(record, header, rows, range(2, len(header)))


def track_confidence(record: Record) -> str:
    """How far a tracker's confidence can be trusted, on clips that the curve has not seen."""
    ours, alone = record["left_out"], record["score_alone"]
    bins = [
        (f"{r['low']:.1f} to {r['high']:.1f}", str(r["n"]), f"{r['confidence']:.2f}",
         f"{r['right']:.2f}")
        for r in ours["reliability"]
    ]  # fmt: skip
    clips = "; ".join(
        f"{name} {c['right']:.0%}, {c['confidence']:.2f}, {c['score']:.3f}"
        for name, c in record["clips"].items()
    )
    lines = [
        f"Confidence of the tracker's masks: {record['curve']['fitted_on']}. A mask is right where its "
        f"J is {record['right_from']} or more. Each clip is judged by the curve of the others.",
        "",
        f"Finding the wrong frames: AUC {ours['auc']:.3f}. Expected calibration error {ours['ece']:.3f} "
        f"(of the score, taken for a probability, {alone['ece']:.3f}); Brier score {ours['brier']:.3f} "
        f"({alone['brier']:.3f}). Below {record['threshold']} lie {ours['warned']} frames, among them "
        f"{ours['warned_and_wrong']} of the {ours['wrong']} wrong ones.",
        "",
        *markdown_table(
            ("confidence", "frames", "mean confidence", "share right"), bins, right=(1, 2, 3)
        ),
        "",
        f"By clip the share right, the mean confidence and the mean score: {clips}.",
    ]
    return "\n".join(lines) + "\n"


def dense(record: Record) -> str:
    """How good trained detectors and segmenters are."""
    header = ("data", "part", "images", "network", "backbone", "params", "side", "epochs", "minutes",
              "box AP", "box AP50", "mask AP", "mean IoU", "pixels right")  # fmt: skip
    rows = []
    for row in record["runs"]:
        box, mask = row["box"] or {}, row["mask"] or {}
        shares = (box.get("ap"), box.get("ap50"), mask.get("ap"), row["miou"], row["accuracy"])
        rows.append(
            (row["data"], row["split"], str(row["n"]), row["network"], row["backbone"],
             f"{row['params'] / 1e6:.2f} M", str(row["min_size"]), str(row["epochs"]),
             f"{row['seconds'] / 60:.0f}", *("" if s is None else f"{100 * s:.1f}" for s in shares))
        )  # fmt: skip
    marks = ["| :-- | :-- | --: | :-- | :-- |" + " --: |" * 9]
    table = markdown_table(header, rows)
    return "\n".join([table[0], *marks, *table[2:]]) + "\n"


def dense_equal_latency(record: Record) -> str:
    """Backbones of segmenters at equal latency."""
    header = ("backbone", "params", "predicted ms", "measured ms", "backbone alone ms", "steps",
              "mean IoU val", "mean IoU test")  # fmt: skip
    rows = [
        (row["name"], f"{row['params'] / 1e6:.2f} M", f"{row['predicted_ms']:.2f}",
         f"{row['measured_ms']:.2f}", f"{row['backbone_ms']:.2f}", str(row["steps"]),
         *(f"{100 * row['miou'][split]:.1f}" for split in ("val", "test")))
        for row in record["rows"]
    ]  # fmt: skip
    return _markdown(record, header, rows, range(1, len(header)))


def equal_latency(record: Record) -> str:
    """The searched network beside random ones at equal measured latency."""
    header = (
        "network",
        "latency ms",
        "of target",
        "MMACs",
        "weights M",
        "top-1 % mean ± std",
        "seeds",
    )
    rows = [
        (row["name"], f"{row['latency_ms']:.3f}", f"{row['latency_ms'] / record['target_ms']:.3f}",
         f"{row['macs'] / 1e6:.2f}", f"{row['weights'] / 1e6:.3f}",
         f"{100 * row['mean']:.2f} ± {100 * row['std']:.2f}", str(row["seeds"]))
        for row in sorted(record["rows"], key=lambda row: -row["mean"])
    ]  # fmt: skip
    rivals = [100 * row["mean"] for row in record["rows"] if row["name"].startswith("random")]
    caption = (
        f"Random networks together: mean {statistics.mean(rivals):.2f} %, standard deviation over "
        f"networks {statistics.stdev(rivals):.2f}, best {max(rivals):.2f} %."
    )
    return _markdown({"caption": caption}, header, rows, range(1, len(header)))


def two_targets(record: Record) -> str:
    """One search for each of two runtimes, both networks measured in both."""
    columns = record["columns"]
    header = ("network", *(f"ms in {name} (est.)" for name in columns))
    rows = [
        (network.partition("@")[0],
         *(f"{c['latency_ms'][index]:.4f} ({c['predicted_ms'][index]:.4f})" for c in columns.values()))
        for index, network in enumerate(record["networks"])
    ]  # fmt: skip
    return _markdown(record, header, rows, range(1, len(header)))


def search_benchmark(record: Record) -> str:
    """Random networks of one measured latency beside searched ones, with the noise between seeds."""
    header = ("network", "latency ms", "of target", "MMACs", "weights M", "top-1 %", "seeds")
    ranked = sorted(record["rows"], key=lambda row: -statistics.mean(row["top1"]))
    rows = []
    for row in ranked:
        scores = [100 * value for value in row["top1"]]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        rows.append(
            (row["name"], f"{row['latency_ms']:.3f}", f"{row['latency_ms'] / record['target_ms']:.3f}",
             f"{row['macs'] / 1e6:.2f}", f"{row['params'] / 1e6:.3f}",
             f"{statistics.mean(scores):.2f}{spread}", str(len(scores)))
        )  # fmt: skip
    said = record["summary"]
    margin = said["mean_margin"]
    lines = [
        f"{said['num']} random networks of `{record['space']}` within {record['band']:.0%} of "
        f"{record['target_ms']:g} ms measured: mean {100 * said['mean']:.2f} %"
        + (f" (± {100 * margin:.2f}, 95 %)" if margin is not None else "")
        + (f", standard deviation {100 * said['std']:.2f}" if said["std"] is not None else "")
        + f", best {100 * said['best']:.2f} %."
    ]
    if said["noise"] is not None:
        lines.append(
            f"Between seeds of one network: {100 * said['noise']:.2f} "
            f"({said['noise_degrees']} degrees of freedom); between networks, with that taken out: "
            f"{100 * said['between']:.2f}."
        )
    low, _, middle, _, high = record["spread_ms"]
    lines.append(
        f"The space has {record['networks_in_space']:.1e} networks; of 200 random ones the predicted "
        f"latencies go from {low:.3f} over {middle:.3f} to {high:.3f} ms, "
        f"{record['share_in_band']:.1%} lie in the band."
    )
    return "\n".join([*markdown_table(header, rows, right=range(1, 7)), "", *lines]) + "\n"


def tracking_peers(record: Record) -> str:
    """A tracked frame of ours, of the authors' code and of other trackers, side by side."""
    first = record["rows"][0]["ms"]
    header = ("tracker", "ms a frame", "frames a second", "to the first", "peak memory", "frames")
    rows = [
        (row["cell"].replace(":", " · "), f"{row['ms']:.0f}", f"{1000 / row['ms']:.1f}",
         f"{row['ms'] / first:.2f}", human_bytes(row["peak_bytes"]), str(row["frames"]))
        for row in record["rows"]
    ]  # fmt: skip
    threads = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
    objects = "one object" if record["objects"] == 1 else f"{record['objects']} objects"
    device = record["device"]
    caption = (
        f"Medians over frames after memory is full, {record['rounds']} rounds in turn, {objects}, "
        f"{threads}, {device['cpu']} (family {device['family']}, model {device['model']}); peak memory "
        "is that of the whole process."
    )
    return "\n".join([*markdown_table(header, rows, right=range(1, 6)), "", caption]) + "\n"


def tracker_trunks(record: Record) -> str:
    """A tracked frame of the nano as exported, by trunk and size."""
    stages = list(record["rows"][0]["stages_ms"])
    header = (
        "trunk",
        "pixels",
        "params",
        *(f"{stage} ms" for stage in stages),
        "frame ms",
        "a second",
    )
    rows = []
    for row in record["rows"]:
        ms = [row["stages_ms"][stage] for stage in stages]
        rows.append(
            (row["trunk"], str(row["size"]), human_count(row["params"]), *(f"{t:.1f}" for t in ms),
             f"{sum(ms):.1f}", f"{1000 / sum(ms):.1f}")
        )  # fmt: skip
    device = record["device"]
    threads = "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"
    caption = (
        f"ONNX Runtime, fp32, {threads}, {device['cpu']} (family {device['family']}, model "
        f"{device['model']}), random weights; undisturbed times of the four graphs."
    )
    return (
        "\n".join([*markdown_table(header, rows, right=range(1, len(header))), "", caption]) + "\n"
    )


def runtimes_page(record: Record) -> str:
    """Accuracy, latency and size of networks over runtimes and precisions."""
    header = ("network", "runtime", "precision", "MB", "ms", "to fp32 of onnxruntime", "top-1 %",
              "verdict")  # fmt: skip
    base = {
        row["network"]: _ms(row["record"])
        for row in record["rows"]
        if row["record"] and (row["runtime"], row["precision"]) == ("onnxruntime", "fp32")
    }
    rows = []
    for row in record["rows"]:
        first = (row["network"], row["runtime"], row["precision"])
        if row["record"] is None:
            rows.append((*first, "", "", "", "", row["problem"]))
            continue
        ms = _ms(row["record"])
        none = "time only" if row["peer"] else "not judged" if row["trained"] else "no weights"
        ratio = f"{ms / base[row['network']]:.2f}" if row["network"] in base else ""
        top1 = none if row["top1"] is None else f"{100 * row['top1']:.1f} ({row['data']})"
        rows.append((*first, f"{row['size_bytes'] / 1e6:.1f}", f"{ms:.2f}", ratio, top1,
                     row["verdict"]))  # fmt: skip
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    caption = (
        f"{record['device']}; {versions}; one image, one thread, warm, all files interleaved, "
        "undisturbed ms. The verdict is that of `pocketeye export`, without weights of random ones."
    )
    return "\n".join([*markdown_table(header, rows, right=range(3, 7)), "", caption]) + "\n"
