"""``bench`` of detectors and segmenters on the user's images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketeye.artifacts.dense import Stages
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.dense_cells import _measured
from pocketeye.verbs.bench.verb import bench
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
    assert f"8 images of {coco} in turn" in result.markdown()
    [row] = result.to_dict()["rows"]
    assert row["canvas"] == (96, 128)  # the set's shape, not the bundled photograph's
    artefact = out / "run" / "onnxruntime-int8"
    origin = json.loads((artefact / "export.json").read_text())
    assert origin["calibration"] == {"data": str(coco), "images": 3}
    some = bench([str(artefact)], rounds=1, data=str(coco), split="test", out=out)
    assert f"one image of {coco} (test) again and again" in some.markdown()
    few = bench([str(artefact)], rounds=4, data=str(coco), split="test", out=out)
    assert f"3 images of {coco} (test) in turn" in few.markdown()
    with pytest.raises(MissingFile, match="tset"):
        bench([str(artefact)], data=str(coco), split="tset", out=out)


class Recorder:
    """Takes as long as the image says."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.stages = Stages(0.0, 0.0, 0.0)

    def __call__(self, image: np.ndarray) -> None:
        self.seen.append(int(image[0]))
        self.stages = Stages(1.0, 1.0, float(image[0]))


def test_images_come_in_turn_and_count_alike() -> None:
    first, second = Recorder(), Recorder()
    images = [np.array([ms]) for ms in (10, 20, 60)]
    found = _measured([first, second], images, 6)  # type: ignore[list-item]
    assert first.seen == second.seen == [10, 20, 60, 10, 20, 60, 10, 20]
    assert found == [Stages(1.0, 1.0, 20.0)] * 2


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
