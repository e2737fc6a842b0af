"""Lay records of trackers out as Markdown tables, as :mod:`tables` does those of everything else."""

from __future__ import annotations

from tables import Record, titled_table, undisturbed

from pocketeye.text import human_bytes, human_count, markdown_table


def tracking_speed(record: Record) -> str:
    """Frames of a tracker in several forms; cells are named NETWORK FORM OBJECTS."""
    ms = {name: undisturbed(cell) for name, cell in record["cells"].items()}
    header = ("network", "form", "objects", "ms per frame", "share of plain", "times one object",
              "off by (std)")  # fmt: skip
    rows = []
    for name, mine in ms.items():
        network, form, num = name.split(" ")
        plain, one = ms.get(f"{network} plain {num}"), ms.get(f"{network} {form} 1")
        shares = ["" if base is None else f"{mine / base:.2f}" for base in (plain, one)]
        rows.append((network, form, num, f"{mine:.1f}", *shares, record["off_by"][name]))
    return titled_table(record, header, rows, range(2, len(header)))


def tracking_memory(record: Record) -> str:
    """Resident memory over a long video."""
    mb = record["resident_mb"]
    half = len(mb) // 2
    header = ("frames", "ms per frame", "objects added", "MB at first", "MB at most in the 1st half",
              "MB at most in the 2nd half", "MB at the end", "")  # fmt: skip
    row = (str(record["num_frames"]), f"{record['ms_per_frame']:.1f}", str(record["objects_added"]),
           *(f"{value:.0f}" for value in (mb[0], max(mb[:half]), max(mb[half:]), mb[-1])),
           "flat" if record["flat"] else "it grew")  # fmt: skip
    return titled_table(record, header, [row], range(len(header) - 1))


def track_throughput(record: Record) -> str:
    """Many videos by one and by two workers, and the manifest behind them."""
    alone, one, two = record["alone"], record["one"], record["two"]
    besides = one["steady_seconds_per_video"] / alone["seconds_per_video"] - 1
    short, long = record["short"], record["long"]
    rows = [
        ("frames a second, one worker", f"{one['steady_fps']:.1f}"),
        ("frames a second, two workers", f"{two['steady_fps']:.1f}"),
        ("two workers against one", f"{two['steady_fps'] / one['steady_fps']:.2f}"),
        ("a video alone in one process, s", f"{alone['seconds_per_video']:.2f}"),
        ("a video by manifest and worker, s", f"{one['steady_seconds_per_video']:.2f}"),
        ("overhead per video, %", f"{100 * besides:+.1f}"),
        *[("largest memory of a worker, MB", f"{max(mb):.0f}") for mb in [two["mb_per_worker"]] if mb],
        (f"a manifest of {long['rows']} rows is made in, s", f"{long['made_s']:.0f}"),
        ("it opens in, s", f"{long['opened_s']:.2f}"),
        ("it takes on the disk, MB", f"{long['mb']:.0f}"),
        (f"changes of it for a video, ms, at {short['rows']} rows", f"{short['ms_per_video']:.2f}"),
        (f"the same at {long['rows']} rows", f"{long['ms_per_video']:.2f}"),
    ]  # fmt: skip
    return titled_table(record, ("", "measured"), rows, range(1, 2))


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
    return titled_table(record, header, rows, range(2, 5))


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
    return titled_table(record, header, rows, range(1, len(header)))


def click_iou(record: Record) -> str:
    """IoU of a tracker's masks in photographs after one click and more."""
    clicks = record["clicks"]
    header = ("model", "images", "things", *(f"{n} click{'s' * (n > 1)}" for n in clicks))
    rows = [
        (row["model"], row["data"], str(row["things"]),
         *(f"{100 * row['iou'][str(n)]:.1f}" for n in clicks))
        for row in record["rows"]
    ]  # fmt: skip
    return titled_table(record, header, rows, range(2, len(header)))


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


def browser_tracking(record: Record) -> str:
    """Following an object in the page of a tracker: speed, stages, agreement."""
    best = min(record["rounds"], key=lambda one: one["ms"] / one["frames"])
    rates = sorted((1e3 * one["frames"] / one["ms"] for one in record["rounds"]), reverse=True)
    stages = sorted(best["stages"].items(), key=lambda pair: -pair[1])
    width, height = record["size"]
    header = ("network", "clip", "frames a second", "of all rounds", "ms per frame",
              "IoU to Python (least)", "MB loaded")  # fmt: skip
    row = (record["network"], f"{record['clip']}, {width}x{height}", f"{rates[0]:.1f}",
           ", ".join(f"{rate:.1f}" for rate in rates), f"{best['ms'] / best['frames']:.0f}",
           f"{min(record['ious']):.4f}", f"{record['size_bytes'] / 1e6:.1f}")  # fmt: skip
    table = titled_table(record, header, [row], range(2, len(header)))
    times = ", ".join(f"{name} {ms:.1f}" for name, ms in stages)
    threads = min(4, best["cores"]) if best["isolated"] else 1
    return (
        f"{table}\n{record['device']}; {record['browser']} (headless), ONNX Runtime Web "
        f"{record['onnxruntime_web']}, WASM, {max(2, threads)} threads in two workers, "
        f"{best['frames']} frames. Milliseconds of each stage, which overlap: {times}.\n"
    )
