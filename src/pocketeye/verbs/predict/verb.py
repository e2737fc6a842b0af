"""Run ``pocketeye predict``: what is in images, by a classifier, a detector or a segmenter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pocketeye.arguments import Images, ModelOrImages
from pocketeye.data.inputs import STDIN, find_inputs
from pocketeye.data.labelled.writing import label_files
from pocketeye.data.labelled.writing.label_files import label_form
from pocketeye.models.reference import expect
from pocketeye.models.task import CLASSIFY, DENSE
from pocketeye.predicting.files import require_free
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.predicting.predictor import Predictor
from pocketeye.verb_result import Prediction
from pocketeye.verbs._options import refuse
from pocketeye.verbs.predict.classify import predict_classes
from pocketeye.verbs.predict.dense import SCORE, predict_dense
from pocketeye.verbs.predict.inputs import default_classifier, names_videos, network_and_images
from pocketeye.verbs.predict.video import predict_videos


def predict(
    model: ModelOrImages | None = None,
    images: Images | None = None,
    *,
    topk: int | None = None,
    csv: Path | None = None,
    out: Path | None = None,
    form: Literal["coco", "cvat", "label-studio", "labelme", "voc", "yolo-detect", "yolo-segment"]
    | None = None,
    overwrite: bool = False,
    classes: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    batch_size: int | None = None,
    score_threshold: float | None = None,
    smooth: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 1,
) -> Prediction:
    """Name what is in images; with a detector or a segmenter also where it is.

    Args:
        model: a run folder, an exported artefact, or a name or architecture.json with weights. Of what
            kind a run is, its model.json says. Left out, EfficientNet-Lite0 tells ImageNet's classes
            apart (pip install "pocketeye[pretrained]").
        images: image files, folders of them, patterns, http(s) addresses (fetched because they
            are named), or - for standard input: one image, or names one a line. In Python also PIL
            images and arrays (height, width, 3) of uint8, or of floats from 0 to 1; one or many. Or
            videos, folders and patterns of these: what is in each frame, objects linked to tracks.
        topk: of a classifier: classes per image, by default 5.
        csv: of a classifier: file for a table with a row per image.
        out: folder for a sheet of the images with their classes, and a JSON file of each. Of a
            detector or a segmenter for each image drawn, detections.json as COCO has it, and label
            images; out/predict/RUN by default. Of each video NAME.mp4 (drawn) and NAME.csv, of a
            detector NAME.txt as MOTChallenge has it. A .json (COCO, Label Studio) or .xml (CVAT) holds
            the labels alone.
        form: write labels for an annotation tool instead: a data set with the images where out is a
            folder. Of a classifier cvat, label-studio or labelme.
        overwrite: replace the files of an earlier prediction.
        classes: text file with the names of the network's classes, one a line, where the weights
            come without them.
        checkpoint: weights for a name or an architecture.json.
        pretrained: take the published weights of a name: from their pip package, or fetched.
        input_size: another side of the input in pixels than the network's.
        batch_size: of a classifier: images at once, by default 32 (an artefact has its own).
        score_threshold: of a detector: objects of a lower score are left out, by default those below
            0.3.
        smooth: of a classifier on videos: a frame's probabilities are the mean of so many frames, by
            default of itself alone.
        device: where a torch network runs.
        threads: threads of an artefact's runtime.

    Raises:
        InvalidValue: no weights, a tracker, none of the images can be read, an option that means
            nothing to this kind of network, or files would be overwritten.
        MissingFile: no such network, or no image at all.
        MissingExtra: no network is named, or a packaged one, and the package is not installed.
    """
    model, given = network_and_images(model, images)
    by_default = model is None
    if model is None:
        model, pretrained = default_classifier(checkpoint, classes), True
    chosen: str | None = None
    task = expect(model, "pocketeye predict", (CLASSIFY, *DENSE)).task
    if task.is_dense:
        refuse(
            task.kind, topk=topk, csv=csv, classes=classes, checkpoint=checkpoint,
            pretrained=pretrained, input_size=input_size, batch_size=batch_size, smooth=smooth,
        )  # fmt: skip
        # Segmenters give every pixel a class, however unsure.
        if task.labels_pixels:
            refuse(task.kind, score_threshold=score_threshold)
    else:
        refuse(task.kind, score_threshold=score_threshold)
        if form and not out:
            out = Path("out") / "predict" / f"{Path(model).name}-{form}"
        chosen = label_form(out, form, tags=True) if out else None
        require_free(csv, None if chosen else out, overwrite)
        if chosen and out:
            label_files.require_free(out, overwrite)

    def open_classifier() -> Predictor:
        return open_predictor(
            model, names=classes, checkpoint=checkpoint, pretrained=pretrained,
            input_size=input_size, device=device, threads=threads,
        )  # fmt: skip

    if names_videos(given):
        refuse("videos (pocketeye track --detect RUN --form has it)", form=form)
        if not task.is_dense:
            refuse("videos", csv=csv, batch_size=batch_size)
        classifier = None if task.is_dense else open_classifier()
        return predict_videos(
            model, task, given, classifier=classifier, topk=5 if topk is None else topk,
            smooth=1 if smooth is None else smooth, out=out, overwrite=overwrite, device=device,
            threads=threads, score_threshold=SCORE if score_threshold is None else score_threshold,
        )  # fmt: skip
    refuse("images", smooth=smooth)
    # Standard input is read only where somebody names it: it would wait for ever.
    named_stdin = any(isinstance(image, str | Path) and str(image) in STDIN for image in given)
    stdin = sys.stdin.buffer if sys.stdin and named_stdin else None
    inputs, missing = find_inputs(given, stdin)
    if task.is_dense:
        return predict_dense(
            model, inputs, missing, out=out, form=form, overwrite=overwrite, device=device,
            threads=threads,
            score_threshold=SCORE if score_threshold is None else score_threshold,
        )  # fmt: skip
    return predict_classes(
        model, open_classifier(), inputs, missing, topk=5 if topk is None else topk,
        batch_size=batch_size or 32, csv=csv, out=out, form=chosen, by_default=by_default,
    )  # fmt: skip
