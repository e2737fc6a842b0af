"""Describe the six tasks a network can be trained for, each one record that every floor looks up.

A record holds what all floors need: names, words for a person, what is measured, and what data it takes.
What only an upper floor needs (a lightning task, a decoder, an evaluation) stands in a table of that
floor whose keys are these records. So nothing compares the name of a task: code asks a record what it
is (``task.labels_pixels``), or looks itself up in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pocketeye.errors import unknown


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Task:
    """Describe what a network is trained for.

    Attributes:
        name: the word for it on the command line, in recipes and in ``model.json``.
        kind: what a network of this task is, with its article: ``a detector``.
        goal: what it was trained to do: ``detect objects``.
        answers: what it gives for an image: ``boxes with classes``.
        network: the registered maker of the whole network, such as ``retinanet``; empty where the user
            names the network itself.
        verbs: commands that use a trained network of this task.
        metrics: columns of ``metrics.csv`` with their words for a person; the first one decides which
            epoch is the best.
        data: what its data are, in words.
        finds_objects: it answers with boxes, classes and scores.
        outlines_objects: each of its objects also has a mask.
        labels_pixels: it answers with a class for every pixel.
        takes_prompts: it answers to clicks and boxes, and knows no classes.
    """

    name: str
    kind: str
    goal: str
    answers: str
    verbs: tuple[str, ...]
    # A mapping has no hash; records are keys of the tables of upper floors.
    metrics: Mapping[str, str] = field(hash=False)
    data: str
    network: str = ""
    finds_objects: bool = False
    outlines_objects: bool = False
    labels_pixels: bool = False
    takes_prompts: bool = False

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Task({self.name})"

    @property
    def is_dense(self) -> bool:
        """Whether the network is a backbone with a pyramid and heads on images of any size."""
        return self.finds_objects or self.labels_pixels


_IMAGE_VERBS = ("predict", "eval", "export", "bench")

CLASSIFY = Task(
    name="classify",
    kind="a classifier",
    goal="classify images",
    answers="a class for the whole image",
    verbs=_IMAGE_VERBS,
    metrics={"val/top1": "top-1"},
    data="images in a folder for each class",
)
DETECT = Task(
    name="detect",
    kind="a detector",
    goal="detect objects",
    answers="boxes with classes",
    network="retinanet",
    verbs=_IMAGE_VERBS,
    metrics={"val/ap": "box AP", "val/ap50": "box AP at 0.5"},
    data="images with boxes (COCO, VOC, YOLO)",
    finds_objects=True,
)
INSTANCE = Task(
    name="instance",
    kind="an instance segmenter",
    goal="outline objects",
    answers="boxes and outlines with classes",
    network="mask_rcnn",
    verbs=_IMAGE_VERBS,
    metrics={"val/ap": "mask AP", "val/ap50": "mask AP at 0.5", "val/box_ap": "box AP"},
    data="images with outlined objects (COCO, YOLO)",
    finds_objects=True,
    outlines_objects=True,
)
SEMANTIC = Task(
    name="semantic",
    kind="a segmenter",
    goal="name every pixel",
    answers="a class for every pixel",
    network="semantic_fpn",
    verbs=_IMAGE_VERBS,
    metrics={"val/miou": "mean IoU", "val/accuracy": "pixels right"},
    data="images with a mask of classes (ADE20K, Cityscapes, CamVid, folders)",
    labels_pixels=True,
)
SEGMENT_ANYTHING = Task(
    name="segment-anything",
    kind="a promptable segmenter",
    goal="segment what is clicked",
    answers="a mask for every click",
    verbs=("segment",),
    # Also after corrections: a network that ignores clicks into its mistakes would look as good.
    metrics={"val/iou": "IoU", "val/iou_corrected": "IoU after corrections"},
    data="images with masks (COCO, SA-1B, label maps)",
    takes_prompts=True,
)
TRACK = Task(
    name="track",
    kind="a tracker",
    goal="follow what is clicked",
    answers="a mask in every frame for each clicked object",
    # No "predict": a tracker answers to prompts, which that command does not take.
    verbs=("track", "segment", "eval", "export"),
    metrics={"val/iou": "IoU"},
    data="videos with masks (DAVIS, YouTube-VOS, MOSE, SA-V)",
    takes_prompts=True,
)

# In the order in which a person is told of them.
TASKS: Mapping[str, Task] = {
    task.name: task for task in (CLASSIFY, DETECT, INSTANCE, SEMANTIC, SEGMENT_ANYTHING, TRACK)
}
"""All of them, by name."""
DENSE = (DETECT, INSTANCE, SEMANTIC)


def task_named(name: str, allowed: Iterable[Task] = TASKS.values()) -> Task:
    """Return the task of that name.

    Raises:
        InvalidValue: no task has this name, or not one of those allowed (with the nearest spelling).
    """
    known = {task.name: task for task in allowed}
    if name not in known:
        raise unknown("task", name, known)
    return known[name]
