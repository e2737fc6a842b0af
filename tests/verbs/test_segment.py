import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.cli import main
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import create_tam
from pocketeye.outputs import held
from pocketeye.results import CompactMask, Masks, Result
from pocketeye.tracking import networks
from pocketeye.tracking.video import tracker
from pocketeye.verbs.segment import segment
from pocketeye.verbs.segment.result import SegmentResult
from tests.tracking.by_colour import COLOURS, ByColour, disc_mask, make_image

SIZE = (96, 64)
DISCS = [(20, 20, 13, COLOURS[0]), (70, 40, 13, COLOURS[2])]
PICO = "pocketeye_tam_pico"


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(make_image(SIZE, DISCS)).save(path)
    return path


@pytest.fixture
def by_colour(monkeypatch) -> None:
    """Weights whose masks are known."""
    monkeypatch.setattr(networks, "open_model", lambda name, **_: ByColour())
    monkeypatch.setattr(tracker, "bundled_graphs", lambda name: None)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.usefixtures("by_colour")
@pytest.mark.parametrize("name", ["found", "found.png", "found.json"])
def test_one_output_has_one_writer(photo, tmp_path, name) -> None:
    out = tmp_path / name
    if not out.suffix:
        out.mkdir()
    with held(out), pytest.raises(InvalidValue, match=f"{name} is being written by another"):
        segment(photo, box=["57,27,84,54"], out=out)
    assert segment(photo, box=["57,27,84,54"], out=out).files
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.usefixtures("by_colour")
def test_a_folder_holds_every_form(photo, tmp_path) -> None:
    out = tmp_path / "found"
    result = segment(photo, box=["57,27,84,54", "7,7,33.5,33"], out=out)
    assert [path.name for path in result.files] == [
        "overlay.png", "cutout.png", "labels.png", "masks.json",
    ]  # fmt: skip
    assert all(path.parent == out for path in result.files)
    assert pixels(out / "overlay.png").shape == (64, 96, 3)
    labels = pixels(out / "labels.png")
    assert (labels[40, 70], labels[20, 20], labels[0, 0]) == (1, 2, 0)
    np.testing.assert_array_equal(pixels(out / "cutout.png")[..., 3] == 255, labels > 0)
    coco = json.loads((out / "masks.json").read_text())
    assert coco["images"] == [{"id": 1, "file_name": "photo.png", "width": 96, "height": 64}]
    assert len(coco["annotations"]) == len(result.to_dict()["objects"]) == 2
    with pytest.raises(InvalidValue, match=r"overlay.png exists already: .*--overwrite"):
        segment(photo, box=["57,27,84,54"], out=out)
    segment(photo, box=["57,27,84,54"], out=out, overwrite=True)
    assert len(json.loads((out / "masks.json").read_text())["annotations"]) == 1


@pytest.mark.usefixtures("by_colour")
def test_a_cell_of_a_notebook_runs_again(photo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        result = segment(pixels(photo), box=["57,27,84,54"])
        assert result.files == (Path("out/segment/image.png"),)
    # Files that have a name, or a place that was said, are not replaced unasked.
    segment(photo, box=["57,27,84,54"])
    with pytest.raises(InvalidValue, match="exists already"):
        segment(photo, box=["57,27,84,54"])
    with pytest.raises(InvalidValue, match="exists already"):
        segment(pixels(photo), box=["57,27,84,54"], out=Path("out/segment/image.png"))


@pytest.mark.usefixtures("by_colour")
def test_a_click_through_the_command_line(photo, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "masks.json"
    argv = ["segment", str(photo), "--point", "70,40", "--point", "20,20:0", "--out", str(out)]
    assert main([*argv, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["size"] == [96, 64]
    assert data["files"] == [str(out)]
    (row,) = data["objects"]
    assert set(row) == {"id", "score", "x", "y", "width", "height", "area"}
    (annotation,) = json.loads(out.read_text())["annotations"]
    mask = CompactMask.from_rle(annotation["segmentation"])
    assert mask.iou(CompactMask.from_dense(disc_mask(SIZE, DISCS[1]))) > 0.75
    assert main([*argv, "--overwrite"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1 object in {photo}, 96×64"
    assert lines[2].split()[:2] == ["1", "0.90"]
    assert lines[3].startswith(f"wrote  {out}")


@pytest.mark.usefixtures("by_colour")
def test_everything(photo, tmp_path) -> None:
    result = segment(photo, everything=True, points_per_side=8, out=tmp_path / "all.jpg")
    assert len(result.found) == 2
    assert pixels(result.files[0]).shape == (64, 96, 3)
    none = segment(
        photo, everything=True, pred_iou_threshold=1.0, points_per_side=2, out=tmp_path / "none"
    )
    assert none.lines()[0].startswith("[bold]0 objects[/bold]")
    assert json.loads((tmp_path / "none" / "masks.json").read_text())["annotations"] == []


def test_weights_from_a_file(photo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": create_tam(PICO).state_dict()}, "mine.pt")
    result = segment(photo, point=["70,40"], model=PICO, checkpoint=Path("mine.pt"), device="cpu")
    assert len(result.found) == 1
    assert result.files == (Path("out/segment/photo.png"),)
    assert result.files[0].is_file()
    with pytest.raises(InvalidValue, match="does not fit efficienttam_ti"):
        segment(
            photo, point=["70,40"], model="efficienttam_ti_512x512", checkpoint=Path("mine.pt"),
            device="cpu", overwrite=True,
        )  # fmt: skip


@pytest.mark.parametrize("model", [PICO, "efficienttam_ti_512x512"])
def test_without_weights_nothing_is_drawn(photo, tmp_path, capsys, monkeypatch, model) -> None:
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path / "nowhere"))
    out = tmp_path / "out.png"
    argv = ["segment", str(photo), "--point", "70,40", "--model", model, "--out", str(out)]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert f"there are no weights of {model}" in error
    assert "--checkpoint" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "say what to segment: --point x,y"),
        ({"everything": True, "point": ["1,2"]}, "one of --everything, --prompts, or points"),
        ({"point": ["1;2"]}, "--point is written x,y in pixels, got '1;2'"),
        ({"point": ["1,2,3"]}, "--point is written x,y"),
        ({"point": ["nan,2"]}, "--point is written x,y"),
        ({"point": ["1,2:3"]}, "--point 1,2:3: after the colon stands 1"),
        ({"box": ["1,2,3"]}, "--box is written x0,y0,x1,y1 in pixels, got '1,2,3'"),
        ({"box": ["1,2,3,4", "1,2,3,4"], "point": ["1,2"]}, "points go with one box at most"),
        ({"point": ["1,2"], "out": Path("a.gif")}, "unknown suffix '.gif'"),
        ({"point": ["96,2"]}, "the point 96,2 is outside the image of 96x64"),
        ({"box": ["9,9,3,4"]}, "did you mean 3,4,9,9?"),
        ({"everything": True, "points_per_side": 0}, "points_per_side is 0"),
    ],
)
@pytest.mark.usefixtures("by_colour")
def test_bad_input(photo, tmp_path, monkeypatch, options, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValue) as caught:
        segment(photo, **options)
    assert sentence in str(caught.value)
    assert not Path("out").exists()


def test_bad_files(photo, tmp_path) -> None:
    with pytest.raises(MissingFile, match="no image at"):
        segment(tmp_path / "none.png", point=["1,2"])
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InvalidValue, match="is a folder: choose another name"):
        segment(photo, point=["1,2"], out=tmp_path / "folder.png")
    with pytest.raises(InvalidValue, match=r"unknown model 'efficienttam_t'.*'efficienttam_ti'"):
        segment(photo, point=["1,2"], model="efficienttam_t", out=tmp_path / "a.png")


def test_masks_that_are_likely_wrong_are_said() -> None:
    masks = np.zeros((3, 8, 8), bool)
    masks[:2, :4] = True

    def said(scores: list[float], dense: np.ndarray) -> list[str]:
        found = Result(size=(8, 8), masks=Masks.from_dense(dense), scores=np.array(scores))
        result = SegmentResult(model="tiny", image="a.png", found=found)
        assert result.to_dict()["doubts"] == [str(doubt) for doubt in result.doubts]
        return [doubt.what for doubt in result.doubts]

    assert said([0.9, 0.8], masks[:2]) == []
    assert said([0.9, 0.3, 0.9], masks) == [
        "1 of 3 objects have no mask", "1 of 3 objects are likely cut out wrongly",
    ]  # fmt: skip
    assert said([], masks[:0]) == ["nothing is found"]


@pytest.mark.usefixtures("by_colour")
def test_labels_for_annotation_tools(photo, tmp_path, capsys) -> None:
    boxes = ["57,27,84,54", "7,7,33.5,33"]
    out = tmp_path / "found.xml"
    result = segment(photo, box=boxes, out=out)
    assert result.files == (out,)
    assert '<image id="0" name="photo.png" width="96" height="64">' in out.read_text()
    assert result.notes == ("cvat holds no scores: left out (2)",)
    folder = tmp_path / "set"
    several = segment([photo, np.asarray(Image.open(photo))], box=boxes, out=folder, form="labelme")
    assert several.written() == [folder]
    assert sorted(path.name for path in folder.iterdir()) == [
        "image.json", "image.png", "photo.json", "photo.png",
    ]  # fmt: skip
    # What was found is a prompt again, and keeps its class.
    page = json.loads((folder / "photo.json").read_text())
    page["shapes"][0]["label"] = "ball"
    (folder / "photo.json").write_text(json.dumps(page))
    again = segment(photo, prompts=folder / "photo.json", out=tmp_path / "again.json")
    coco = json.loads((tmp_path / "again.json").read_text())
    assert [row["name"] for row in coco["categories"]] == ["ball", "object"]
    assert again.found.masks.iou(result.found.masks).diagonal().min() > 0.95
    assert again.rows()[0]["label"] == "ball"
    two = segment([photo, photo], prompts=folder, out=tmp_path / "two", form="yolo-segment")
    assert len(two.rest) == 1
    other = tmp_path / "other.png"
    Image.fromarray(make_image(SIZE, DISCS)).save(other)
    with pytest.raises(InvalidValue, match=r"shows no object in .*other.png"):
        segment([photo, other], prompts=folder, out=tmp_path / "no")
    with pytest.raises(InvalidValue, match="one of --everything, --prompts"):
        segment(photo, prompts=folder, everything=True)
    with pytest.raises(InvalidValue, match="name a folder"):
        segment(photo, box=boxes, out=tmp_path / "a.png", form="voc")
