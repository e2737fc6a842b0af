"""What looks right and is not is said in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.metrics import classification_report
from pocketeye.metrics.chance import Chance
from pocketeye.metrics.doubts import (
    doubts_of_answers,
    doubts_of_classes,
    doubts_of_objects,
    doubts_of_pixels,
)
from pocketeye.metrics.matching import match_report
from pocketeye.metrics.objects import found_objects, true_objects
from pocketeye.metrics.semantic import MeanIoU
from pocketeye.text import some

CLASSES = ("cat", "dog", "owl")
LABELS = np.arange(60) % 3


def whats(doubts) -> list[str]:
    return [doubt.what for doubt in doubts]


def logits_for(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sure of these labels, and never twice the same."""
    noise = np.random.default_rng(seed).normal(size=(len(labels), len(CLASSES)))
    return np.eye(len(CLASSES))[labels] * 9 + 0.1 * noise


def test_a_good_classifier_is_not_doubted():
    report = classification_report(logits_for(LABELS), LABELS, CLASSES)
    assert doubts_of_classes(report) == ()
    assert report.chance == Chance(num_classes=3, commonest="cat", share=1 / 3)
    assert "33.3 % by guessing among 3 classes" in report.chance.sentence()


def test_chance_level_is_said():
    guesses = np.random.default_rng(1).integers(0, 3, 60)
    report = classification_report(logits_for(guesses), LABELS, CLASSES)
    [doubt] = doubts_of_classes(report)
    assert doubt.what == "no better than chance"
    assert "of 60 images" in doubt.seen
    assert "33.3 %" in doubt.seen


def test_the_commonest_class_is_chance_too():
    """90 % right says nothing where 90 % are of one class."""
    labels = np.array([0] * 90 + [1] * 10)
    guesses = labels.copy()
    guesses[[0, 90, 91, 92, 93, 94]] = [1, 0, 0, 0, 0, 0]
    report = classification_report(logits_for(guesses), labels, CLASSES)
    assert report.top1 == 0.94
    assert whats(doubts_of_classes(report)) == ["no better than chance"]
    assert "90.0 % by always saying 'cat'" in str(doubts_of_classes(report)[0])


def test_one_class_said_of_everything():
    report = classification_report(logits_for(np.full(60, 2)), LABELS, CLASSES)
    first, second = doubts_of_classes(report)
    assert first.what == "one class is said of everything"
    assert "'owl'" in first.seen
    assert second.what == "no better than chance"


def test_most_classes_are_never_said():
    names = tuple("abcdef")
    labels, guesses = np.arange(60) % 6, np.arange(60) % 6
    guesses[guesses > 1] = 0
    report = classification_report(np.eye(6)[guesses] * 9 + np.arange(60)[:, None], labels, names)
    [doubt] = doubts_of_classes(report)
    assert doubt.what == "most classes are never said"
    assert "4 of the 6 classes that have images: c, d, e, f" in doubt.seen


def test_constant_outputs():
    report = classification_report(np.tile([[0.1, 0.2, 0.1]], (60, 1)), LABELS, CLASSES)
    assert report.constant
    assert whats(doubts_of_classes(report))[0] == "the network does not look at the images"


def test_outputs_that_are_no_numbers_count_as_wrong():
    logits = logits_for(LABELS)
    logits[:20] = math.nan
    logits[20, 0] = math.inf
    report = classification_report(logits, LABELS, CLASSES)
    assert (report.n, report.num_undefined) == (60, 21)
    assert report.top1 == pytest.approx(39 / 60)
    assert "21 of 60 images" in doubts_of_classes(report)[0].seen
    nothing = classification_report(np.full((60, 3), math.nan), LABELS, CLASSES)
    assert nothing.top1 == 0
    assert nothing.chance is None
    assert whats(doubts_of_classes(nothing)) == ["the network computes no numbers"]


def test_a_set_of_one_class_and_a_set_of_one_image():
    labels = np.zeros(5, np.int64)
    report = classification_report(logits_for(labels), labels, CLASSES)
    [doubt] = doubts_of_classes(report)
    assert doubt.what == "the set has images of a single class"
    assert "1 of 3 classes" in doubt.seen
    report = classification_report(np.zeros((4, 1)) + np.arange(4)[:, None], labels[:4], ("a",))
    assert "the only class there is" in str(doubts_of_classes(report)[0])
    one = classification_report(logits_for(labels[:1]), labels[:1], CLASSES)
    assert whats(doubts_of_classes(one)) == ["the set has images of a single class"]


def pixels(truth: np.ndarray, guess: np.ndarray):
    metric = MeanIoU(CLASSES)
    metric.update(guess, truth)
    return metric.report()


def test_segmenters():
    truth = np.repeat([0, 0, 1, 2], 25).reshape(10, 10)
    assert doubts_of_pixels(pixels(truth, truth)) == ()
    painted = pixels(truth, np.zeros_like(truth))
    assert whats(doubts_of_pixels(painted)) == ["one class is said of everything"]
    shuffled = pixels(truth, np.random.default_rng(0).permutation(truth.ravel()).reshape(10, 10))
    assert whats(doubts_of_pixels(shuffled)) == ["no better than chance"]
    assert "50.0 % by always saying 'cat'" in doubts_of_pixels(shuffled)[0].seen


def test_a_mean_iou_over_classes_that_are_not_there():
    background = np.zeros((8, 8), np.int64)
    report = pixels(background, background)
    assert report.miou == 1
    assert report.num_present == 1
    assert whats(doubts_of_pixels(report)) == ["the set has pixels of a single class"]
    two = np.repeat([0, 1], 32).reshape(8, 8)
    [doubt] = doubts_of_pixels(pixels(two, two))
    assert "owl" in doubt.seen
    assert "1 of 3" in doubt.seen
    void = pixels(np.full((8, 8), 255), background)
    assert whats(doubts_of_pixels(void)) == ["there is nothing to judge on"]
    assert math.isnan(void.miou)


BOX, OTHER = [10, 10, 30, 30], [50, 50, 90, 90]
NOT_ONE = np.zeros((0, 4))


def objects(truths, found):
    true = {n: true_objects(boxes, labels) for n, (boxes, labels) in enumerate(truths)}
    said = {n: found_objects(b, labels, scores) for n, (b, labels, scores) in enumerate(found)}
    return true, said, match_report(true, said, len(CLASSES))


def test_a_good_detector_is_not_doubted():
    truths = [([BOX, OTHER, BOX], [0, 1, 2]), ([OTHER], [0]), ([BOX], [1])]
    found = [(boxes, labels, [0.9] * len(labels)) for boxes, labels in truths]
    assert doubts_of_objects(*objects(truths, found), CLASSES) == ()


def test_a_set_without_objects_has_no_f1():
    args = objects([(NOT_ONE, [])] * 2, [([BOX], [0], [0.8]), (NOT_ONE, [], [])])
    assert math.isnan(args[2].f1)
    assert math.isnan(args[2].recall)
    [doubt] = doubts_of_objects(*args, CLASSES)
    assert doubt.what == "there is nothing to find"
    assert "2 images" in doubt.seen


def test_nothing_is_found():
    args = objects([([BOX], [0])] * 2, [(NOT_ONE, [], [])] * 2)
    assert args[2].f1 == 0
    assert math.isnan(args[2].precision)
    assert whats(doubts_of_objects(*args, CLASSES)) == ["nothing is found"]


def test_the_same_boxes_everywhere_and_scores_that_are_no_numbers():
    truths = [([OTHER], [0])] * 3
    same = objects(truths, [([BOX], [0], [0.5 + n / 10]) for n in range(3)])
    assert "the network does not look at the images" in whats(doubts_of_objects(*same, CLASSES))
    odd = objects(truths[:1], [([BOX], [0], [math.nan])])
    assert "1 of 1 objects" in doubts_of_objects(*odd, CLASSES)[0].seen
    assert whats(doubts_of_objects(*odd, CLASSES))[-1] == "hardly anything is found"


def test_answers_without_truth():
    sure = np.array([[0.9, 0.05], [0.8, 0.1], [0.4, 0.3]])
    assert doubts_of_answers(sure, 10) == ()
    for probabilities, what in (
        (np.full((2, 2), math.nan), "the network computes no numbers"),
        (np.array([[0.11, 0.1], [0.12, 0.1]]), "the network is sure of nothing"),
        (np.tile([[0.7, 0.2]], (3, 1)), "the network does not look at the images"),
    ):
        assert whats(doubts_of_answers(probabilities, 10)) == [what]


def test_how_a_doubt_reads():
    doubt = Doubt(what="it is [odd]", seen="3 of 4", remedy="look")
    assert str(doubt) == "it is [odd]: 3 of 4; look"
    assert doubt_lines([doubt])[0].endswith(r"it is \[odd]: 3 of 4; look")
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert some(list("ab")) == "a, b"
