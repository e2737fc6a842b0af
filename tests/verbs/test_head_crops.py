"""What the heads of Mask R-CNN are quantised with: the artefact's own crops, and it helps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from pocketeye.artifacts.dense import BOX_HEAD, MASK_HEAD, DenseManifest
from pocketeye.artifacts.mask_rcnn_numpy import MaskRCNNDecoder
from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense_graphs import write_heads
from pocketeye.exporting.head_crops import HeadCrops, head_crops
from pocketeye.models import MaskRCNN, RawBoxHead, RawProposals
from pocketeye.models.task import INSTANCE
from pocketeye.runtimes import Artifact, get_runtime
from pocketeye.verbs.export import ExportResult, export
from tests.runtimes.test_dense_artifact import write_run
from tests.runtimes.test_mask_rcnn_numpy import mask_rcnn
from tests.training.dense_sets import write_coco_discs

CANVAS, PER_RUN = (96, 128), (40, 5)


def images(count: int) -> list[tuple[np.ndarray, tuple[int, int]]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(1, 3, *CANVAS)).astype(np.float32), (96, 120)) for _ in range(count)]


def taken(score_thresh: float, count: int) -> tuple[MaskRCNN, RawProposals, HeadCrops]:
    model = mask_rcnn(score_thresh)
    raw = RawProposals(model).eval()
    return model, raw, head_crops(model, raw, images(count), PER_RUN)


def test_they_are_what_the_artefact_gives_its_heads() -> None:
    model, raw, crops = taken(0.3, 2)
    seen: dict[str, list[np.ndarray]] = {"box": [], "mask": []}

    def graph(module: torch.nn.Module, name: str | None = None):
        def run(array: np.ndarray) -> list[np.ndarray]:
            if name:
                seen[name] += list(array)
            with torch.inference_mode():
                return [output.numpy() for output in module(torch.from_numpy(array))]

        return run

    def masks(array: np.ndarray) -> list[np.ndarray]:
        seen["mask"] += list(array)
        return [np.zeros((len(array), 4, 28, 28), np.float32)]

    decoder, box = MaskRCNNDecoder(**raw.decoder()), RawBoxHead(model).eval()
    for image, size in images(2):
        decoder(image, graph(raw), graph(box, "box"), masks, PER_RUN, size, size)
    assert crops.masks_of == "objects"
    assert [batch.shape for batch in crops.box] == [(40, 8, 7, 7)] * 2
    assert {batch.shape for batch in crops.mask} == {(5, 8, 14, 14)}
    for part, batches, number in (
        ("box", crops.box, crops.num_box), ("mask", crops.mask, crops.num_mask),
    ):  # fmt: skip
        known = {crop.tobytes() for crop in seen[part] if crop.any()}
        given = [crop.tobytes() for batch in batches for crop in batch]
        assert set(given) <= known
        assert len(set(given)) > 0.9 * number  # spread out, not one crop again and again


def test_where_nothing_is_found_the_best_proposals_are_taken() -> None:
    _, _, crops = taken(0.99999, 20)
    assert crops.masks_of == "proposals"
    assert crops.num_images == 16  # not all of many images
    assert crops.num_mask == 20
    assert np.ptp(crops.mask[0]) > 0
    assert "20 crops of proposals; from 16 images" in crops.line()


def test_a_network_that_proposes_nothing_is_refused() -> None:
    model = mask_rcnn(0.3)
    with torch.no_grad():
        model.rpn.head.bbox_pred.bias.fill_(float("nan"))
    with pytest.raises(InvalidValue, match=r"proposes nothing.*give --data"):
        head_crops(model, RawProposals(model).eval(), images(1), PER_RUN)


def input_range(path: Path) -> tuple[float, float]:
    """The least and the greatest value that the graph's quantised input can hold."""
    graph = onnx.load(path).graph
    values = {row.name: numpy_helper.to_array(row) for row in graph.initializer}
    names = {"crops"}  # by which the input goes: the box head flattens it
    for node in graph.node:
        if node.op_type in ("Reshape", "Flatten") and node.input[0] in names:
            names.update(node.output)
    [node] = [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in names]
    scale, zero = float(values[node.input[1]]), int(values[node.input[2]])
    return -zero * scale, (255 - zero) * scale


def test_the_heads_are_quantised_with_them_and_the_better_for_it(tmp_path: Path) -> None:
    model, _, crops = taken(0.3, 2)
    runtime = get_runtime("onnxruntime")
    manifest = DenseManifest(task=INSTANCE, classes=("a", "b", "c"), canvas=CANVAS, mean=(0, 0, 0),
                             std=(1, 1, 1), decoder={}, crops_per_run=PER_RUN)  # fmt: skip
    generator = np.random.default_rng(0)
    mean, std = crops.box[0].mean(), crops.box[0].std()
    noise = HeadCrops(
        box=tuple((generator.normal(size=b.shape) * std + mean).astype(np.float32) for b in crops.box),
        mask=tuple((generator.normal(size=b.shape) * std + mean).astype(np.float32) for b in crops.mask),
        num_box=1, num_mask=1, num_images=1, masks_of="objects",
    )  # fmt: skip
    errors = {}
    for name, given in (("crops", crops), ("noise", noise)):
        write_heads(model, runtime, "int8", tmp_path / name, given, manifest)
        for part, batches in ((BOX_HEAD, given.box), (MASK_HEAD, given.mask)):
            low, high = input_range(tmp_path / name / part / "model.onnx")
            step = (high - low) / 255
            assert low == pytest.approx(min(0, np.min(batches)), abs=step)
            assert high == pytest.approx(max(0, np.max(batches)), abs=step)
        head = runtime.load(Artifact.load(tmp_path / name / BOX_HEAD))
        with torch.inference_mode():
            want = RawBoxHead(model).eval()(torch.from_numpy(crops.box[1]))
        got = head(crops.box[1])
        errors[name] = [float(np.abs(g - w.numpy()).mean()) for g, w in zip(got, want, strict=True)]
    # Answers that are products stay in float, so only what is inside the head is quantised: scores of a
    # random network no longer tell the two apart, scores and boxes together do.
    assert sum(errors["crops"]) < sum(errors["noise"]), errors


@pytest.mark.slow
def test_an_artefact_says_what_it_was_quantised_with(tmp_path: Path) -> None:
    data = write_coco_discs(tmp_path / "coco", {"val": 2})
    run = write_run(tmp_path / "run", "instance")
    result = export(str(run), data=str(data), precision="int8", samples=2, out=tmp_path / "out")
    assert isinstance(result, ExportResult)
    written = json.loads((tmp_path / "out" / "export.json").read_text())["calibration"]
    assert written == {"data": str(data), "images": 2, "box_crops": 500, "mask_crops": 100,
                       "mask_crops_of": "objects", "crops_from_images": 2}  # fmt: skip
    assert result.to_dict()["calibration"] == written
    assert f"quantised with 2 images, {data}; box head: 500 crops" in result.lines()[0]
    assert result.agreement.found > 0.85
