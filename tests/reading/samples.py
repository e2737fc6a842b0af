"""A sound file of every kind that pocketeye writes or reads as text, and who reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from pocketeye.artifacts.dense import DenseManifest
from pocketeye.cards.run import read_run_card
from pocketeye.cli._config import load_config
from pocketeye.data.detection.samples import load_detection
from pocketeye.data.files.problems import Problems
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.data.semantic.class_maps import read_class_map
from pocketeye.data.vos.label_files import listed_objects
from pocketeye.data.vos.layouts import load_videos
from pocketeye.exporting.bench.table import BenchRow, BenchTable
from pocketeye.latency.calibration import Calibration
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Protocol, Samples, Visit
from pocketeye.latency.record import LatencyRecord, Timing, records_in
from pocketeye.latency.table import LatencyTable, Row, Segmenter, TableHeader
from pocketeye.models import load_space
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.reference import resolve
from pocketeye.models.space import SearchSpace
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import DETECT
from pocketeye.models.weights.bundled import BundledCard, bundled_card
from pocketeye.predicting.class_names import read_classes
from pocketeye.predicting.evaluation.coco_results import read_results
from pocketeye.predicting.info import ModelInfo
from pocketeye.reading import read_json
from pocketeye.runs import RunFolder, read_environment, read_origin
from pocketeye.runtimes.base import Artifact, TensorSpec
from pocketeye.runtimes.parity import THRESHOLDS, ParityReport
from pocketeye.searching.deriving.baseline import Comparison
from pocketeye.searching.deriving.derived import Candidate, Derived, Round
from pocketeye.searching.learning.history import read_theta
from pocketeye.searching.outcome import read_costs
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.engine.reporting.report import stored_recipe

SPACE = SearchSpace.from_dict(
    {"name": "toy", "input_size": 8, "stages": [{"chs": 4, "depth": 1}, {"chs": 8, "depth": 1}],
     "candidates": ["k3_e1", "k3_e3"], "stem": {"chs": 4}, "head": {"chs": 8}, "num_classes": 2}
)  # fmt: skip
NETWORK = SPACE.architecture(["k3_e1", "k3_e3"])
DEVICE = Device(cpu="toy", cpus=2, os="toy", machine="toy", instruction_sets=("avx",))
TIMING = Timing(n=3, inner=1, p10_ms=1.0, p50_ms=1.1, p90_ms=1.2, undisturbed_ms=1.0)


@dataclass(frozen=True)
class Sample:
    """A file: its name, its content (text, or what JSON holds), and all who read it."""

    file: str
    content: Any
    readers: tuple[Callable[[Path], object], ...]
    beside: Callable[[Path], object] = lambda folder: None

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        if self.file.endswith((".yaml", ".yml")):
            return yaml.safe_dump(self.content, sort_keys=False)
        return json.dumps(self.content, indent=1)


def candidate(index: int) -> Candidate:
    return Candidate(
        architecture=NETWORK, origin="sampled", predicted_ms=1.0 + index, supernet_score=0.5,
        supernet_loss=1.0, measured_ms=1.0, timing=TIMING,
    )  # fmt: skip


def derived() -> dict[str, Any]:
    comparison = Comparison(
        num_images=4, num_searched=2, num_random=1, searched_best=0.5, searched_mean=0.5,
        random_best=0.5, random_mean=0.5, random_mean_se=None, difference=0.0, difference_se=0.1,
    )  # fmt: skip
    one = Round(
        low_ms=0.9, high_ms=1.0, draws=9, draws_in_band=3, random_draws=9, random_draws_in_band=3,
        measured_over_predicted=1.0, within=1,
    )  # fmt: skip
    return Derived(
        target_ms=1.0, tolerance=0.05, best_index=0, candidates=(candidate(0), candidate(1)),
        random=(candidate(2),), rounds=(one,), comparison=comparison,
    ).to_dict()  # fmt: skip


def record() -> LatencyRecord:
    return LatencyRecord(
        subject="toy", runtime="torch", runtime_version="2", threads=1, precision="fp32",
        clock="wall", timing=TIMING, stages={"network": TIMING}, device=DEVICE,
    )  # fmt: skip


def table() -> dict[str, Any]:
    header = TableHeader(
        space=SPACE.to_dict(), device=DEVICE, runtime="torch", runtime_version="2", flags={},
        layout="NCHW", threads=1, precision="fp32", clock="wall", protocol=Protocol().to_dict(),
        overhead_ms=0.001, rounds=3, seed=0, date="2026-01-01", git=None,
    )  # fmt: skip
    fit = Calibration(
        fit="gain", gain=1.0, block_ms=0.0, constant_ms=0.0, mape=0.1, loo_mape=0.1,
        candidates={"gain": 0.1, "gain+block": None}, networks=(str(NETWORK),), measured_ms=(1.0,),
    )  # fmt: skip
    row = Row(timing=TIMING, halves_ms=(1.0, 1.0), dropped=0.1)
    rows = {str(placed): row for placed in SPACE.placed(with_head=False)}
    made = LatencyTable(header=header, rows=rows, calibration=fit,
                        segmenter=Segmenter(spec=SegmenterSpec(num_classes=3), row=row))  # fmt: skip
    return json.loads(json.dumps(made.to_dict()))


def parity() -> dict[str, Any]:
    return ParityReport(
        max_abs=1e-6, rel=1e-6, psnr_db=90.0, top1_agreement=1.0, n=4, precision="fp32",
        status="PASS", thresholds=THRESHOLDS["fp32"],
    ).to_dict()  # fmt: skip


def manifest() -> dict[str, Any]:
    spec = TensorSpec(name="image", shape=(1, 3, 8, 8))
    data = asdict(Artifact(folder=Path(), file="model.onnx", runtime="onnxruntime",
                           precision="fp32", inputs=(spec,), outputs=(spec,)))  # fmt: skip
    del data["folder"]
    return data


def save_model(folder: Path) -> None:
    ModelInfo.default("fbnet_a", ("a", "b"), 3, 32).save(folder)


def save_images(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    for name in ("0.png", "1.png", "sa_1.jpg"):
        Image.new("RGB", (8, 6)).save(folder / "images" / name)
    Image.new("RGB", (8, 6)).save(folder / "sa_1.jpg")


def save_voc(folder: Path) -> None:
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("0", "1"):
        Image.new("RGB", (8, 6)).save(folder / "JPEGImages" / f"{name}.png")
        (folder / "Annotations" / f"{name}.xml").write_text(VOC)


def save_yolo(folder: Path) -> None:
    save_images(folder)
    (folder / "labels").mkdir(exist_ok=True)
    for name in ("0", "1"):
        (folder / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text(json.dumps({**YOLO, "val": "train.txt"}))


def save_clip(folder: Path) -> None:
    for name, mode in (("JPEGImages", "RGB"), ("Annotations", "P")):
        (folder / name / "480p" / "clip").mkdir(parents=True, exist_ok=True)
        image = Image.new(mode, (8, 6), 1)
        image.putpalette([0, 0, 0, 128, 0, 0]) if mode == "P" else None
        suffix = "png" if mode == "P" else "jpg"
        for number in range(2):
            image.save(folder / name / "480p" / "clip" / f"{number:05}.{suffix}")
    (folder / "ImageSets").mkdir(exist_ok=True)


def save_csv_text(columns: list[str], rows: int) -> str:
    lines = [",".join(columns)]
    lines += [",".join([str(row), *["0.5"] * (len(columns) - 1)]) for row in range(rows)]
    return "\n".join(lines) + "\n"


def network(path: Path) -> object:
    return resolve(str(path.parent))


RESULT = {
    "metric": "top-1", "value": 0.5, "top1": 0.5, "best_epoch": 1, "epochs": 2, "seconds": 1.0,
    "num_train": 8, "num_val": 4, "params": 100, "weights": "best.safetensors",
}  # fmt: skip
ENVIRONMENT = {
    "created": "2026-01-01", "python": "3", "cpu": "toy", "git": None, "packages": {"torch": "2"},
}  # fmt: skip
DECODER = {"num_classes": 1, "strides": [4], "sizes": [[8.0]], "aspect_ratios": [1.0]}
VOC = """<annotation><size><width>8</width><height>6</height></size>
<object><name>a</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>
"""
COCO = {
    "images": [
        {"id": 1, "file_name": "0.png", "width": 8, "height": 6},
        {"id": 2, "file_name": "images/1.png", "width": 8, "height": 6},
    ],
    "categories": [{"id": 1, "name": "a", "supercategory": "x"}, {"id": 2, "name": "b"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0,
         "segmentation": [[1, 1, 5, 1, 5, 5]]},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [1, 1, 4, 4], "iscrowd": 1,
         "segmentation": {"size": [6, 8], "counts": [12, 6, 30]}},
    ],
}  # fmt: skip
SA1B = {"annotations": [{"segmentation": {"size": [6, 8], "counts": [12, 6, 30]}}]}
META = {"videos": {"clip": {"objects": {"1": {"category": "x", "frames": ["00000", "00005"]}}}}}
YOLO = {"path": ".", "names": {"0": "a", "1": "b"}, "train": "images", "val": "images"}
VISITS = Samples(
    rounds=1, inner={"x": 1}, anchors_ms=[1.0],
    visits={"x": [Visit(wall_ms=[1.0], cpu_ms=[1.0], anchor_ms=1.0)]},
).to_dict()  # fmt: skip


def results(path: Path) -> object:
    sound = path.with_name("sound.json")
    sound.write_text(json.dumps(COCO))
    return read_results(path, load_detection(sound), masks=False)


def masks(path: Path) -> None:
    found = load_masks(path.parent, layout="sa-1b")
    for index in range(len(found)):
        found.read(index)


def outlines(path: Path) -> None:
    found = load_detection(path)
    for index in range(len(found)):
        found.targets(index).masks()


SAMPLES = {
    "classifier": Sample(
        "model.json",
        ModelInfo.default("fbnet_a", ("a", "b"), 3, 32).to_dict(),
        (lambda p: ModelInfo.load(p.parent).transform(), network),
    ),
    "detector": Sample(
        "model.json",
        DenseDescription(task=DETECT, backbone="fbnet_a", classes=("a",), category_ids=(1,),
                         architecture=json.loads(NETWORK.to_json())).to_dict(),
        (lambda p: DenseDescription.load(p.parent), network),
    ),
    "tracker": Sample(
        "model.json",
        TrackerDescription(variant="pocketeye_tam_nano", image_size=(64, 64)).to_dict(),
        (lambda p: TrackerDescription.load(p.parent), network),
    ),
    "dense artefact": Sample(
        "dense.json",
        DenseManifest(task=DETECT, classes=("a",), canvas=(8, 8), mean=(0, 0, 0), std=(1, 1, 1),
                      decoder=DECODER).to_dict(),
        (lambda p: DenseManifest.load(p.parent).make_decoder(),),
    ),
    "artefact": Sample("artifact.json", manifest(), (lambda p: Artifact.load(p.parent), network)),
    "origin": Sample(
        "export.json",
        {"name": "toy", "params": 3, "macs": 4, "created": "2026-01-01", "more": [1]},
        (lambda p: read_origin(p.parent),),
    ),
    "parity": Sample("parity.json", parity(), (lambda p: ParityReport.load(p).lines(),)),
    "architecture": Sample(
        "architecture.json",
        json.loads(NETWORK.to_json()),
        (lambda p: Architecture.load(p).placed(), network),
    ),
    "space": Sample(
        "space.yaml", SPACE.to_dict(), (lambda p: load_space(p).num_architectures(),)
    ),
    "table": Sample("toy.latency.json", table(), (lambda p: LatencyTable.load(p).space(),)),
    "record": Sample(
        "latency.json",
        record().to_dict(),
        (lambda p: LatencyRecord.load(p).lines(), lambda p: records_in(p.parent)),
    ),
    "benchmark": Sample(
        "bench.json",
        BenchTable(
            rows=(BenchRow(model="a", runtime="torch", precision="fp32", record=record(), ratio=1.0),),
            threads=1, device=DEVICE,
        ).to_dict(),
        (lambda p: BenchTable.load(p).markdown(), lambda p: records_in(p.parent)),
    ),
    "visits": Sample(
        "visits.json", VISITS, (lambda p: Samples.from_dict(read_json(p)),)
    ),
    "candidates": Sample("candidates.json", derived(), (lambda p: Derived.load(p).best,)),
    "costs": Sample(
        "costs.json",
        {"search": {"seconds": 1.0, "cpu_seconds": 2.0, "device": "cpu"}},
        (read_costs,),
    ),
    "theta": Sample(
        "theta.csv",
        "epoch,layer,k3_e1,k3_e3\n0,0,0.5,0.5\n0,1,1,\n1,0,0.25,0.75\n1,1,1,\n",
        (lambda p: read_theta(p, SPACE),),
    ),
    "metrics": Sample(
        "metrics.csv",
        save_csv_text(["epoch", "lr", "train/loss"], 3),
        (
            lambda p: RunFolder(p.parent).metrics(),
            lambda p: RunFolder(p.parent).log_metrics({"epoch": 1.0}),
        ),
    ),
    "configuration": Sample(
        "config.yaml",
        {"model": "fbnet_a", "epochs": 3, "lr": 0.1, "data": "x", "betas": [0.9, 0.99]},
        (
            lambda p: RunFolder(p.parent).config(),
            lambda p: RunFolder.open(p.parent, {"model": "fbnet_a"}, resume=True),
            load_config,
        ),
    ),
    "recipe": Sample(
        "recipe.yaml",
        ClassifyRecipe().to_dict(),
        (ClassifyRecipe.load, lambda p: stored_recipe(RunFolder(p.parent))),
    ),
    "environment": Sample(
        "environment.json", ENVIRONMENT,
        (lambda p: read_environment(p.parent), lambda p: read_run_card(p.parent)), save_model,
    ),
    "summary": Sample("result.json", RESULT, (lambda p: read_run_card(p.parent),), save_model),
    "evaluation": Sample(
        "eval.json", {"data": "x", "n": 4, "top1": 0.5, "top1_interval": [0.2, 0.8]},
        (lambda p: read_run_card(p.parent),), save_model,
    ),
    "card": Sample(
        "card.yaml",
        asdict(BundledCard(summary="a", data="b", weights_license="c", training="d", scores="e",
                           limits="f")),
        (lambda p: bundled_card(p.parent),),
    ),
    "class map": Sample(
        "classes.yaml",
        {"names": ["sky", "road"], "ignore": [0, 255], "ids": {"7": "road", "23": "sky"},
         "colors": {"sky": [70, 130, 180]}},
        (read_class_map,),
    ),
    "class names": Sample("names.txt", "cat\ndog\nown name\n", (read_classes,)),
    "yolo": Sample("data.yaml", YOLO, (load_detection, lambda p: load_detection(p, "val")), save_images),
    "coco": Sample("coco.json", COCO, (outlines, lambda p: load_masks(p, layout="coco")), save_images),
    "coco results": Sample(
        "results.json",
        [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "score": 0.5},
         {"image_id": 2, "category_id": 2, "bbox": [1, 1, 4, 4], "score": 0.4}],
        (results,), save_images,
    ),
    "voc": Sample(
        "Annotations/0.xml", VOC,
        (lambda p: load_detection(p.parents[1], layout="voc").targets(0),), save_voc,
    ),
    "voc list": Sample(
        "ImageSets/Main/train.txt", "0 1\n1 -1\n",
        (lambda p: load_detection(p.parents[2], "train", layout="voc"),), save_voc,
    ),
    "yolo boxes": Sample(
        "labels/0.txt", "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.5 0.1 0.5 0.5\n",
        (lambda p: load_detection(p.parents[1] / "data.yaml", "train"),), save_yolo,
    ),
    "yolo list": Sample(
        "train.txt", "images/0.png\n./images/1.png\n",
        (lambda p: load_detection(p.parent / "data.yaml", "val"),), save_yolo,
    ),
    "davis list": Sample(
        "ImageSets/train.txt", "clip\n/JPEGImages/480p/clip/00000.jpg\n",
        (lambda p: load_videos(p.parents[1], "train"),), save_clip,
    ),
    "sa1b": Sample("sa_1.json", SA1B, (masks,), save_images),
    "youtube-vos": Sample("meta.json", META, (lambda p: listed_objects(p, Problems()),)),
}  # fmt: skip
