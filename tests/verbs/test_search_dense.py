"""``search`` for segmenters: from a table of segmenters to a run that labels pixels."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue, UserError
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.described import DenseDescription, open_dense
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.task import CLASSIFY, SEMANTIC
from pocketeye.searching import stages
from pocketeye.searching.deriving.ranking import Judge
from pocketeye.searching.segmentation import _Whole
from pocketeye.searching.tasks import usual_batch
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.verbs.evaluate.verb import evaluate
from pocketeye.verbs.search import search
from pocketeye.verbs.search.result import SearchResult

from ..searching.test_dense import SPACE as SQUARE
from ..training.dense_sets import write_semantic_discs
from .search_fakes import HEAD_MS, FakeRuntime, made_up_table

SPACE = SQUARE.with_(input_size=(72, 96))  # the shape of the discs
SPEC = SegmenterSpec(num_classes=3, fpn_channels=16, head_channels=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_semantic_discs(tmp_path_factory.mktemp("data") / "discs", {"train": 10, "val": 3})


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_up_table(SPACE, segmenter=SPEC)
    return made.save(tmp_path_factory.mktemp("table") / "tiny.latency.json")


@pytest.fixture(scope="module")
def settings(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    recipe = DenseRecipe(
        task="semantic", crop=32, train_sizes=(64,), input_size=64, max_size=512, batch_size=4, lr=1e-2,
        norms="live", warmup_steps=2, epochs=2, drop_rate=0.0,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.to_dict()))
    return {
        "data": str(data), "target_ms": 2.3, "epochs": 2, "warmup_epochs": 1,
        "candidates": 3, "measure_top": 2, "train_epochs": 2, "device": "cpu",
        "train_recipe": str(path), "tolerance": 0.2,
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(
    table: Path, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> SearchResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "measure_session", FakeRuntime())
        return search(table=table, out=tmp_path_factory.mktemp("search") / "run", **settings)


def test_the_run_is_a_segmenter_with_the_found_backbone(finished: SearchResult) -> None:
    network, described = open_dense(finished.out)
    assert described == DenseDescription.load(finished.out)
    assert described.task is SEMANTIC
    assert (described.min_size, described.max_size) == (72, 96)
    assert (described.fpn_channels, described.head_channels) == (16, 8)
    stored = Architecture.load(finished.out / "architecture.json")
    assert Architecture.from_json(json.dumps(described.architecture)) == stored
    assert stored == finished.best.architecture
    assert stored.input_size == (72, 96)
    assert network.num_classes == 3


def test_it_is_ranked_and_reported_by_mean_iou(finished: SearchResult, data: Path) -> None:
    said = json.loads(json.dumps(finished.to_dict(), default=str))
    assert said["task"] == "semantic"
    assert said["supernet_miou"] == finished.best.supernet_score
    assert "top1" not in said
    assert finished.comparison.metric == "mean IoU"
    assert finished.trained is not None
    judged = evaluate(str(finished.out), data=str(data), split="val")
    assert judged.to_dict()["miou"] == pytest.approx(finished.trained.value, abs=1e-4)
    text = "\n".join(finished.lines())
    assert f"mean IoU {finished.trained.value:.2%} on 3 validation images" in text
    page = (finished.out / "report.html").read_text()
    assert "<th>mean IoU</th>" in page
    assert "top-1" not in page
    assert str(SPEC) in page
    assert (finished.out / "candidates.csv").read_text().split("\n")[0].count("supernet_miou") == 1


def test_latency_is_that_of_the_whole_segmenter(finished: SearchResult, table: Path) -> None:
    best = finished.best
    made = made_up_table(SPACE, segmenter=SPEC)
    layers = made.layer_ms(best.architecture)
    assert layers[-1] == HEAD_MS
    assert best.predicted_ms == pytest.approx(sum(layers))
    assert best.measured_ms == pytest.approx(1.01 * best.predicted_ms)


def test_next_commands_name_the_task(finished: SearchResult) -> None:
    commands = [shlex.split(command) for command in finished.next_commands()]
    assert ["pocketeye", "eval", str(finished.out), "--data", finished.data] in commands  # fmt: skip
    untrained = [shlex.split(c) for c in replace(finished, trained=None).next_commands()]
    recipe = finished.out / "recipe.yaml"
    assert untrained == [["pocketeye", "train", "semantic",
                          str(finished.out / "architecture.json"), "--data", finished.data,
                          "--recipe", str(recipe)]]  # fmt: skip
    as_used = DenseRecipe.load(
        recipe, "semantic"
    )  # sizes and widths of the table, not the recipe's
    assert (as_used.input_size, as_used.max_size) == (72, 96)
    assert (as_used.fpn_channels, as_used.head_channels) == (16, 8)


def test_an_interrupted_search_comes_to_the_same_end(
    finished: SearchResult, table: Path, settings: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(stages, "measure_session", FakeRuntime())
    out = tmp_path / "run"

    def stop(self: Judge, architecture: Architecture) -> Any:
        raise UserError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "score", stop)
        with pytest.raises(UserError, match="stopped"):
            search(table=table, out=out, **settings)
    again = search(table=table, out=out, resume=True, **settings)
    assert again.best == finished.best
    assert again.comparison == finished.comparison
    assert again.trained == finished.trained


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"target_ms": 0.5}, f"or a narrower pyramid and head, which take {HEAD_MS} of them"),
        ({"train_recipe": "small-cpu"}, "small-cpu"),
        ({"data": "digits"}, "digits"),
    ],
)
def test_mistakes_are_one_sentence(
    changes: dict[str, Any], sentence: str, table: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        search(table=table, out=tmp_path / "run", **{**settings, **changes})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_classes_than_the_table_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    other = made_up_table(SPACE, segmenter=replace(SPEC, num_classes=5)).save(tmp_path / "t.json")
    with pytest.raises(InvalidValue, match="made for 5: measure one with --task semantic"):
        search(table=other, out=tmp_path / "run", **settings)


def test_masks_of_classifiers_are_refused(tmp_path: Path) -> None:
    table = made_up_table().save(tmp_path / "t.latency.json")
    with pytest.raises(InvalidValue, match="pocketeye measure --task semantic"):
        search(table=table, out=tmp_path / "run", target_ms=2.0, classes="camvid11")


def test_judging_is_on_images_that_trained_theta(finished: SearchResult) -> None:
    assert finished.comparison.num_images == 2  # a fifth of ten
    assert np.isfinite(finished.comparison.searched_best)


def test_damaged_images_are_left_out_and_named(
    data: Path, table: Path, settings: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(stages, "measure_session", FakeRuntime())
    spoilt = tmp_path / "data"
    shutil.copytree(data, spoilt)
    victims = sorted((spoilt / "train" / "images").iterdir())[:2]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:200])
    quick = {**settings, "data": str(spoilt), "epochs": 1, "warmup_epochs": 0}
    result = search(table=table, out=tmp_path / "run", retrain=False, **quick)
    assert result.trained is None
    [note] = [note for note in result.notes if "problems in the training images" in note]
    assert any(victim.name in note for victim in victims)


def test_nothing_to_rank_on_is_one_sentence(data: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "data"
    shutil.copytree(data, spoilt)
    for victim in (spoilt / "train" / "images").iterdir():
        victim.write_bytes(victim.read_bytes()[:200])
    images = load_semantic(str(spoilt), "train")
    described = DenseDescription(task=SEMANTIC, backbone="none", classes=images.classes)
    with pytest.raises(InvalidValue, match=r"none of the 10 images .* kept to rank networks"):
        list(_Whole(images, described))


def test_images_of_another_shape_than_measured_are_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    other = made_up_table(SPACE.with_(input_size=(72, 72)), segmenter=SPEC).save(
        tmp_path / "t.json"
    )
    with pytest.raises(InvalidValue, match="measure one with --input-size 96x72"):
        search(table=other, out=tmp_path / "run", **settings)


@pytest.mark.parametrize("changes", [{"norms": "eval"}, {"norms": "frozen"}])
def test_from_scratch_bn_has_to_learn(
    changes: dict[str, Any], table: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    recipe = yaml.safe_load(Path(settings["train_recipe"]).read_text()) | changes
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(InvalidValue, match="says live for both, or --no-retrain"):
        search(table=table, out=tmp_path / "run", **{**settings, "train_recipe": str(path)})


def test_another_recipe_or_other_images_do_not_go_on(
    data: Path, table: Path, settings: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def stop(*_: Any) -> Any:
        raise UserError("stopped")

    monkeypatch.setattr(stages, "search_stage", stop)
    copied, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, copied)
    asked = {**settings, "data": str(copied), "retrain": False}
    with pytest.raises(UserError, match="stopped"):
        search(table=table, out=out, **asked)
    recipe = yaml.safe_load(Path(settings["train_recipe"]).read_text()) | {"flip": 0.0}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(InvalidValue, match="begun with another recipe"):
        search(table=table, out=out, resume=True,
               **{**asked, "train_recipe": str(tmp_path / "other.yaml")})  # fmt: skip
    victim = next((copied / "train" / "images").iterdir())
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(InvalidValue, match="begun with another data_sha256"):
        search(table=table, out=out, resume=True, **asked)


def test_weight_steps_take_the_recipes_batch(finished: SearchResult) -> None:
    config = yaml.safe_load((finished.out / "config.yaml").read_text())
    assert config["search"]["batch_size"] == 4
    assert usual_batch(SEMANTIC, None) == 8
    assert usual_batch(CLASSIFY, None) is None
