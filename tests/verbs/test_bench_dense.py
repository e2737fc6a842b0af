"""``bench`` of detectors and segmenters on the user's images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pocketeye.artifacts.dense import DenseManifest
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.timing import time_dense
from pocketeye.latency import protocol
from pocketeye.runtimes import Artifact
from pocketeye.verbs.bench import bench
from tests.runtimes.test_dense_artifact import write_run
from tests.training.dense_sets import write_coco_discs


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco_discs(tmp_path_factory.mktemp("coco"), {"train": 1, "val": 9, "test": 3})


def test_a_run_is_timed_and_exported_with_images_of_the_set(coco: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "detect")
    out = tmp_path / "out"
    result = bench([str(run)], precisions=("int8",), rounds=9, samples=3, data=str(coco), out=out)
    assert result.to_dict()["images"] == {"count": 8, "data": str(coco), "split": None}
    assert f"8 images of {coco} in turn" in result.table.markdown()
    [row] = result.to_dict()["rows"]
    assert row["canvas"] == (96, 128)  # the set's shape, not the bundled photograph's
    artefact = out / "run" / "onnxruntime-int8"
    origin = json.loads((artefact / "export.json").read_text())
    assert origin["calibration"] == {"data": str(coco), "images": 3}
    some = bench([str(artefact)], rounds=1, data=str(coco), split="test", out=out)
    assert f"one image of {coco} (test) again and again" in some.table.markdown()
    few = bench([str(artefact)], rounds=4, data=str(coco), split="test", out=out)
    assert f"3 images of {coco} (test) in turn" in few.table.markdown()
    with pytest.raises(MissingFile, match="tset"):
        bench([str(artefact)], data=str(coco), split="tset", out=out)


class Recorder:
    """Counts its stages, and the images they see."""

    def __init__(self, canvas: tuple[int, int] = (32, 32)) -> None:
        self.seen: list[tuple[str, int]] = []
        self.artifact = Artifact(
            folder=Path(), file="", runtime="torch", precision="fp32", inputs=(), outputs=()
        )
        self.manifest = DenseManifest(
            task="detect", classes=(), canvas=canvas, mean=(), std=(), decoder={}
        )

    def __call__(self, image: np.ndarray) -> None:
        self.seen.append(("all", int(image[0])))

    def stages(self, image: np.ndarray) -> dict[str, Callable[[], object]]:
        def call(stage: str) -> Callable[[], object]:
            return lambda: self.seen.append((stage, int(image[0])))

        return {stage: call(stage) for stage in ("prepare", "network", "decode")}


def test_every_image_counts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample takes all images once; the record is of one of them."""
    monkeypatch.setattr(protocol, "calibrate_inner", lambda call, min_sample_ms: 1)
    monkeypatch.setattr(protocol, "sample", lambda call, inner: (call(), (6.0, 3.0))[1])
    first, second = Recorder(), Recorder()
    images = [np.array([number]) for number in (1, 2, 3)]
    found = time_dense({"a": first, "b": second}, images, rounds=6, threads=1)  # type: ignore[dict-item]
    assert sorted(set(second.seen)) == sorted(set(first.seen))
    assert len(second.seen) == len(second.seen) // 3 * 3
    assert [number for _, number in second.seen] == [1, 2, 3] * (len(second.seen) // 3)
    record = found["b"]
    assert (record.timing.p50_ms, record.timing.undisturbed_ms) == (2.0, 1.0)
    assert record.timing.n == 2 * 2  # two visits, two samples of a long call
    assert {name: t.p90_ms for name, t in record.stages.items()} == {
        "prepare": 2.0, "network": 2.0, "decode": 2.0,
    }  # fmt: skip
    assert record.flags["images"] == 3


def test_what_cannot_be_is_said(coco: Path, tmp_path: Path) -> None:
    boxes, maps = (write_run(tmp_path / task, task) for task in ("detect", "semantic"))
    for models, options, message in (
        ([boxes, maps], {"data": str(coco)}, "detect finds objects and semantic labels pixels"),
        ([boxes], {"split": "val"}, "--split says which part of --data"),
        ([boxes], {"rounds": 0}, "--rounds must be at least 1"),
    ):
        with pytest.raises(InvalidValue, match=message):
            bench([str(model) for model in models], out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
