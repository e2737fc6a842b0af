"""One way to read the five kinds of sets, and what is found while processes read them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import (
    Sample,
    SampleSet,
    VideoSequence,
    load_detection,
    load_images,
    load_masks,
    load_semantic,
    load_videos,
)
from pocketeye.data.detection.samples import ImageObjects
from pocketeye.data.files.problems import Problems
from pocketeye.data.loaders.clips import make_clip_loader
from pocketeye.data.loaders.images import make_loader
from pocketeye.data.loaders.loader import SampleLoader
from pocketeye.data.mask_sets.samples import ObjectMasks
from pocketeye.data.sample import first_readable, readable
from pocketeye.data.seeded import SeededDataset
from tests.data.layouts import make_image
from tests.data.mask_layouts import big_labels, photo, write_coco, write_labels
from tests.data.video_layouts import ids, save_frames

KINDS = ("classes", "boxes", "labels", "masks", "videos")
BOX = {"image_id": 1, "category_id": 1, "bbox": [10, 8, 20, 20],
       "segmentation": [[10.0, 8.0, 30.0, 8.0, 30.0, 28.0]]}  # fmt: skip


def open_set(kind: str, root: Path) -> SampleSet[Any]:
    """Three images (or clips) of each kind."""
    if kind == "classes":
        for index in range(4):
            make_image(root / "train" / f"c{index % 2}" / f"{index}.png", (index, 7, 7))
        return load_images(root, memory_bytes=1)
    if kind in ("boxes", "masks"):
        rows = [{**BOX, "image_id": image} for image in (1, 2, 3)]
        write_coco(root, rows, categories=({"id": 1, "name": "cat"},))
        return load_detection(root) if kind == "boxes" else load_masks(root)
    if kind == "labels":
        write_labels(root, big_labels(3))
        (root / "classes.yaml").write_text("names: [none, a, b, c, d, e, f, g, h]\n")
        return load_semantic(root)
    for name in "abc":
        save_frames(root / "JPEGImages" / "480p" / name, range(3))
        folder = root / "Annotations" / "480p" / name
        folder.mkdir(parents=True)
        for frame in (1, 2):  # the first frame has no mask
            Image.fromarray(ids((1,), frame)).save(folder / f"{frame:05}.png")
    return load_videos(root)


def spoil(file: Path) -> None:
    """Cut an image short: its header is whole, so that it is found when it is decoded."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_set_reads_samples(kind: str, tmp_path: Path) -> None:
    samples = open_set(kind, tmp_path)
    read = [samples.read(index) for index in range(len(samples))]
    assert [sample.index for sample in read] == list(range(len(samples)))
    assert [sample.name for sample in read] == [samples.name(k) for k in range(len(samples))]
    assert {sample.image.mode for sample in read} == {"RGB"}
    assert samples.problems == tuple(samples.collector) == ()
    kinds = {"classes": int, "boxes": ImageObjects, "labels": np.ndarray, "masks": ObjectMasks,
             "videos": VideoSequence}  # fmt: skip
    assert {type(sample.targets) for sample in read} == {kinds[kind]}
    assert bool(samples.classes) == (kind in ("classes", "boxes", "labels"))


def test_the_image_of_a_video_is_its_first_annotated_frame(tmp_path: Path) -> None:
    videos = open_set("videos", tmp_path)
    sample = videos.read(1)
    assert (sample.name, sample.targets.annotated) == ("b", (1, 2))
    assert np.array_equal(np.asarray(sample.image), sample.targets.frame(1))


def test_the_damaged_is_passed_over_or_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = open_set("boxes", tmp_path)
    spoil(tmp_path / "train2017" / "002.jpg")
    with caplog.at_level(logging.WARNING):
        assert first_readable(samples, 1).index == 2
        assert first_readable(samples, 1).index == 2
    assert caplog.text.count("002.jpg: ") == 1
    assert [sample.index for sample in readable(samples)] == [0, 2]
    assert [sample.index for sample in readable(samples, (2, 1))] == [2]
    (problem,) = samples.problems
    assert problem.startswith("002.jpg: ")


class Draws(SeededDataset[int]):
    """Numbers of samples that could be read."""

    def __init__(self, samples: SampleSet[Any], times: int) -> None:
        super().__init__()
        self.samples, self.length = samples, times * len(samples)

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> int:
        return first_readable(self.samples, index % len(self.samples)).index


def numbers(items: Sequence[int]) -> list[int]:
    return list(items)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_what_loader_processes_find_is_not_lost(tmp_path: Path, context: str) -> None:
    root = write_coco(tmp_path, [BOX], images=6, categories=({"id": 1, "name": "cat"},))
    samples = load_detection(root)
    victims = [samples.name(k) for k in (1, 4)]
    for victim in victims:
        spoil(root / "train2017" / victim)
    workers = 2 if context == "fork" else 1  # a spawned one imports torch, for seconds
    loader = SampleLoader(
        Draws(samples, 2), batch_size=2, num_workers=workers, collate_fn=numbers,
        multiprocessing_context=context,
    )  # fmt: skip
    batches = list(loader)
    assert [number for batch in batches for number in batch] == [0, 2, 2, 3, 5, 5] * 2
    assert sorted(problem[:7] for problem in samples.problems) == victims


def test_problems_of_all_parts_come_home(tmp_path: Path) -> None:
    """Pixels without a class and damaged masks, by the loader of trainings, in sets and subsets."""
    samples = open_set("labels", tmp_path)
    part = samples.subset((1, 2))  # type: ignore[attr-defined]
    labels = big_labels(2)["01"].astype(np.uint8)
    labels[:4, :4] = 77
    Image.fromarray(labels).save(tmp_path / "masks" / "01.png")
    spoil(tmp_path / "images" / "02.jpg")
    loader = make_clip_loader(Draws(part, 4), 2, training=True, workers=2, collate=numbers)
    assert [number for batch in loader for number in batch] == [0] * 8
    assert part.problems == samples.problems
    assert "images/01.jpg: value 77 in its mask has no class, such pixels are ignored" in (
        samples.problems
    )
    assert any(problem.startswith("images/02.jpg: ") for problem in samples.problems)
    assert len(samples.problems) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_judged_come_home_too(tmp_path: Path, workers: int) -> None:
    samples = open_set("classes", tmp_path)
    spoil(tmp_path / "train" / "c0" / "2.png")
    loader = make_loader(
        samples, _mean, 2, shuffle=False, seed=0, drop_last=False, workers=workers,  # type: ignore[arg-type]
        on_damage="ignore",
    )  # fmt: skip
    labels = [label for _, y in loader for label in y.tolist()]
    assert sorted(labels) == [-100, *sorted(samples.labels.tolist())[1:]]  # type: ignore[attr-defined]
    assert [problem.partition(":")[0] for problem in samples.problems] == ["c0/2.png"]


def _mean(image: Image.Image) -> Any:
    import torch

    return torch.tensor(np.asarray(image).mean(), dtype=torch.float32)


def test_a_collector_counts_each_problem_once() -> None:
    problems = Problems("set", ["opened: with this"], most=2)
    for index in (0, 1, 1, 2, 0):
        problems.found(f"{index}.jpg", "cut short")
    assert tuple(problems) == (
        "opened: with this", "0.jpg: cut short", "1.jpg: cut short",
        "1 more like these: cut short (3 in all)",
    )  # fmt: skip


def test_a_sample_cannot_be_changed() -> None:
    sample = Sample(index=0, name="a", image=photo(0), targets=3)
    with pytest.raises(AttributeError):
        sample.targets = 4  # type: ignore[misc]
