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
from pocketeye.runs import write_atomic, write_json
from pocketeye.text import human_count, markdown_table

Record = dict[str, Any]
CASVIT_FORMS = ("eager", "eager fused", "plain", "fused", "int8")


def write_results(path: Path, record: Record, render: Callable[[Record], str]) -> None:
    """Write ``path``.json and the table of it, ``path``.md; print the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not with_suffix: names hold numbers with a point.
    write_json(path.with_name(path.name + ".json"), record)
    # From plain values, as they will be read back.
    text = render(json.loads(json.dumps(record)))
    write_atomic(path.with_name(path.name + ".md"), text)
    print(text)


def titled_table(record: Record, header: Any, rows: Any, right: range) -> str:
    lines = markdown_table(header, rows, right=right)
    caption = record.get("caption")
    return "\n".join([*lines, *(["", caption] if caption else [])]) + "\n"


def undisturbed(record: Record) -> float:
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
    return titled_table(record, header, rows, range(1, len(header)))


def casvit(record: Record) -> str:
    """CAS-ViT in every form, beside its peers."""
    ms = {(r["model"], r["form"]): undisturbed(r["record"]) for r in record["rows"]}
    header = ("network", "params", "MACs", "published top-1 %",
              *(f"{form} ms" for form in CASVIT_FORMS), "fused ×", "int8 ×")  # fmt: skip
    rows = []
    for name in sorted(record["costs"], key=lambda name: ms[name, "fused"]):
        costs, plain = record["costs"][name], ms.get((name, "plain"))
        ratios = [f"{plain / ms[name, form]:.2f}" if plain else "" for form in ("fused", "int8")]
        times = [f"{ms[name, f]:.2f}" if (name, f) in ms else "" for f in CASVIT_FORMS]
        counts = (human_count(costs["deployed_params"]), human_count(costs["macs"]))
        rows.append((name, *counts, _published(name), *times, *ratios))
    return titled_table(record, header, rows, range(1, len(header)))


def _published(name: str) -> str:
    card = card_for(name)
    metric = card.top1 if card else None
    if metric is None:
        return ""
    return f"{metric.value}" + (f" ({metric.at})" if metric.at not in ("", "224") else "")


def int8(record: Record) -> str:
    """What int8 costs on trained networks."""
    ms = {(r["network"], r["form"]): undisturbed(r["record"]) for r in record["rows"]}
    header = ("network", "file", "top-1 %", "same answer as the network %", "SQNR dB", "ms", "×")
    rows = [
        (r["network"], r["form"], f"{100 * r['top1']:.2f}", f"{100 * r['agreement']:.2f}",
         f"{r['sqnr_db']:.1f}", f"{ms[r['network'], r['form']]:.3f}",
         f"{ms[r['network'], 'fp32'] / ms[r['network'], r['form']]:.2f}")
        for r in record["rows"]
    ]  # fmt: skip
    return titled_table(record, header, rows, range(2, len(header)))


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
    return titled_table(record, header, rows, range(1, len(header)))


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
    return titled_table({"caption": caption}, header, rows, range(1, len(header)))


def two_targets(record: Record) -> str:
    """One search for each of two runtimes, both networks measured in both."""
    columns = record["columns"]
    header = ("network", *(f"ms in {name} (est.)" for name in columns))
    rows = [
        (network.partition("@")[0],
         *(f"{c['latency_ms'][index]:.4f} ({c['predicted_ms'][index]:.4f})" for c in columns.values()))
        for index, network in enumerate(record["networks"])
    ]  # fmt: skip
    return titled_table(record, header, rows, range(1, len(header)))


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


def search_signals(record: Record) -> str:
    """Kendall's tau of each signal of a search with the accuracies networks were trained to."""
    header = ("signal", "tau", "95 % interval")
    rows = [
        (row["signal"], "–" if row["tau"] is None else f"{row['tau']:+.2f}",
         "–" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}")
        for row in record["taus"]
    ]  # fmt: skip
    costs = ", ".join(f"{name}: {value:.0f} s" for name, value in record["seconds"].items())
    caption = (
        f"{record['num_networks']} random networks of `{record['space']}` of {record['target_ms']:g} "
        f"ms, trained to the end; intervals by the bootstrap over networks. A network costs ({costs})."
    )
    return "\n".join([*markdown_table(header, rows, right=(1,)), "", caption]) + "\n"


def runtimes_page(record: Record) -> str:
    """Accuracy, latency and size of networks over runtimes and precisions."""
    header = ("network", "runtime", "precision", "MB", "ms", "to fp32 of onnxruntime", "top-1 %",
              "verdict")  # fmt: skip
    base = {
        row["network"]: undisturbed(row["record"])
        for row in record["rows"]
        if row["record"] and (row["runtime"], row["precision"]) == ("onnxruntime", "fp32")
    }
    rows = []
    for row in record["rows"]:
        first = (row["network"], row["runtime"], row["precision"])
        if row["record"] is None:
            rows.append((*first, "", "", "", "", row["problem"]))
            continue
        ms = undisturbed(row["record"])
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
