"""``pocketeye train``: a classifier or a tracker from a recipe, into a run folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pocketeye.data import load_images
from pocketeye.data.classification.images import DIGITS
from pocketeye.errors import InvalidValue
from pocketeye.metrics import wilson_interval
from pocketeye.runs import CURVES, REPORT, SAMPLES
from pocketeye.text import human_seconds, problem_lines
from pocketeye.training.classify.distill import open_teacher
from pocketeye.training.classify.fit import (
    BEST,
    FitResult,
    describe,
    fit,
    load_recipe,
    require_fit,
)
from pocketeye.training.classify.run import _input_size, _name
from pocketeye.training.classify.start import start_network
from pocketeye.training.dense.config import load_dense_recipe
from pocketeye.training.dense.run import sizes_of
from pocketeye.training.engine.loop import check_device, open_run
from pocketeye.training.tam.config import load_tam_recipe
from pocketeye.verbs._options import refuse
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.train.dense import DenseTrainResult, train_dense
from pocketeye.verbs.train.tracker import TrackerTrainResult, train_tracker


@dataclass(frozen=True, kw_only=True)
class TrainResult(VerbResult):
    """A finished training; ``top1`` is 0 to 1, of the best epoch, on ``num_val`` images."""

    name: str
    data: str
    out: Path
    fitted: FitResult
    input_size: int
    num_train: int
    num_val: int
    params: int
    problems: tuple[str, ...]

    @property
    def top1(self) -> float:
        return self.fitted.top1

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of ``top1``."""
        return wilson_interval(round(self.top1 * self.num_val), self.num_val)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data": self.data,
            "out": self.out,
            "weights": self.fitted.weights,
            "top1": self.top1,
            "top1_interval": list(self.interval),
            "best_epoch": self.fitted.best_epoch,
            "epochs": self.fitted.epochs,
            "seconds": self.fitted.seconds,
            "input_size": self.input_size,
            "num_train": self.num_train,
            "num_val": self.num_val,
            "params": self.params,
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        low, high = (100 * share for share in self.interval)
        lines = [
            f"top-1 [bold]{100 * self.top1:.2f} %[/bold] ({low:.1f} to {high:.1f}, {self.num_val} "
            f"images) in epoch {self.fitted.best_epoch} of {self.fitted.epochs} · "
            f"{self.name} · {self.input_size} px · {human_seconds(self.fitted.seconds)}"
        ]
        return lines + problem_lines(self.problems)

    def written(self) -> list[Path]:
        return [self.out / name for name in (REPORT, BEST, CURVES, SAMPLES)]

    def next_commands(self) -> list[str]:
        run, data = shlex.quote(str(self.out)), shlex.quote(self.data)
        return [
            f"pocketeye eval {run} --data {data}",
            f"pocketeye export {run} --data {data}",
        ]


def train(
    model: str | None = None,
    *,
    task: Literal[
        "classify", "segment-anything", "track", "detect", "instance", "semantic"
    ] = "classify",
    backbone: str | None = None,
    data: str = DIGITS,
    classes: str | None = None,
    recipe: str | None = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    new_head: bool = False,
    start_from: Path | None = None,
    trunk: str | None = None,
    synthetic_share: float | None = None,
    teacher: str | None = None,
    teacher_checkpoint: Path | None = None,
    teacher_size: int | None = None,
    distill: Literal["none", "soft", "hard"] | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    input_size: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None,
    precision: Literal["fp32", "bf16", "fp16"] | None = None,
    num_processes: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
) -> TrainResult | TrackerTrainResult | DenseTrainResult:
    """Train a classifier, a tracker, a detector or a segmenter.

    Args:
        model: a name from `pocketeye list`, any timm name, or an architecture.json; by default
            fbnet_c. Of the other tasks a tracker's name, by default pocketeye_tam_nano.
        task: classify images; segment anything in images by prompts, or track it through videos;
            detect objects (RetinaNet), outline them too (instance, Mask R-CNN), or give every pixel a
            class (semantic, Semantic FPN).
        backbone: of detect, instance and semantic: any timm name with maps of strides 4 to 32, an
            architecture.json, or the run of a classifier, whose weights it then begins with; by
            default casvit_xs.
        data: a folder of class folders, a folder of parquet files, a parquet file, or 'digits'. Of
            the other tasks one or more folders, with commas between: images with masks (COCO,
            SA-1B, label maps) and videos (DAVIS, YouTube-VOS, MOSE, SA-V). Of detect and instance
            COCO, VOC or YOLO; of semantic ADE20K, Cityscapes, CamVid or folders of masks.
        classes: what the masks of semantic mean: a yaml, or camvid11, cityscapes.
        recipe: a recipe that comes along (casvit-official, casvit-strong, casvit-384, cifar10,
            tiny-imagenet, fbnet-imagenet, small-cpu, digits …) or a YAML file of the same keys; by
            default digits for the digits, else small-cpu. Of the other tasks
            segment-anything-small, segment-anything-sa1b, track-small, track-sav or a file; the
            small ones by default. Of detect detect-small or retinanet-1x, of instance
            instance-small or mask-rcnn-1x, of semantic semantic-small, semantic-scratch,
            semantic-fpn-40k or -80k.
        out: folder of the run; out/train/MODEL-on-DATA by default.
        resume: go on with an interrupted run.
        overwrite: start again in a folder that holds a run.
        pretrained: begin with the published weights of a named model, or of the backbone: from their
            pip package, or fetched.
        checkpoint: begin with the weights of a file; a tracker's, detector's or segmenter's also with
            those of a run folder.
        new_head: leave the classifier of that file and begin it afresh, as for other classes.
        start_from: begin a tracker with what fits of a relative: a run folder of a classifier (its
            backbone goes into the image encoder), a file of EfficientSAM, SAM 2 or EfficientTAM. Of
            detect, instance and semantic a run or file whose backbone is taken.
        trunk: another image encoder for a tracker, any timm backbone.
        synthetic_share: share of a tracker's clips that are made of cut-outs, 0 to 1.
        teacher: learn from this network too: a run folder, an architecture.json with
            --teacher-checkpoint, or a name (with --teacher-checkpoint, else its published weights).
            Of the other tasks a tracker, whose image features are learnt.
        teacher_checkpoint: weights of the teacher.
        teacher_size: of classify: side in pixels of the images the teacher sees; the student's by
            default.
        distill: how: soft or hard.
        epochs: passes over the data.
        batch_size: images per step and process.
        lr: peak learning rate.
        seed: of the weights, the order and the augmentation.
        input_size: side of the input in pixels; by default an architecture's own, and for names the
            size of the images. Of detect, instance and semantic the shorter side.
        device: auto takes CUDA, then MPS, then the CPU.
        precision: bf16 and fp16 are mixed precision (bf16 is slower than fp32 on CPUs without matrix
            units, fp16 needs CUDA).
        num_processes: data-parallel processes on this machine.
        workers: processes that prepare images.
        threads: threads of torch.

    Raises:
        InvalidValue: unknown model, recipe or key; data that cannot be learnt from; weights or a
            teacher for other classes; a run that is already there; a loss that is not finite; a full
            disk.
        MissingFile: no data, recipe or network at a path.
        UserError: interrupted; says how to go on.
    """
    if task == "detect" or task == "instance" or task == "semantic":
        refuse(f"--task {task}", model=model, new_head=new_head, teacher=teacher, distill=distill,
               trunk=trunk, teacher_checkpoint=teacher_checkpoint, teacher_size=teacher_size,
               synthetic_share=synthetic_share)  # fmt: skip
        if data == DIGITS:
            raise InvalidValue(
                f"--task {task} needs annotated images: give their folder with --data"
            )
        dense_config = load_dense_recipe(
            recipe or f"{task}-small", task,
            epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, device=device,
            precision=precision, num_processes=num_processes, workers=workers, threads=threads,
            **sizes_of(task, input_size),
        )  # fmt: skip
        return train_dense(
            backbone or "casvit_xs", dense_config, data=data, classes=classes, out=out, resume=resume,
            overwrite=overwrite, pretrained=pretrained, checkpoint=checkpoint, start_from=start_from,
        )  # fmt: skip
    refuse(f"--task {task}", backbone=backbone, classes=classes)
    if task != "classify":
        refuse(f"--task {task}", pretrained=pretrained, new_head=new_head, distill=distill,
               teacher_size=teacher_size)  # fmt: skip
        if data == DIGITS:
            raise InvalidValue(
                f"--task {task} needs images or videos with masks: give their folders with --data"
            )
        tam_config = load_tam_recipe(
            recipe or f"{task}-small", task,
            epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, image_size=input_size,
            device=device, precision=precision, num_processes=num_processes, workers=workers,
            threads=threads, synthetic_share=synthetic_share,
        )  # fmt: skip
        return train_tracker(
            model or "pocketeye_tam_nano", tam_config, data=data, out=out, resume=resume,
            overwrite=overwrite, trunk=trunk, checkpoint=checkpoint, start_from=start_from,
            teacher=teacher, teacher_checkpoint=teacher_checkpoint,
        )  # fmt: skip
    refuse(f"--task {task}", start_from=start_from, trunk=trunk, synthetic_share=synthetic_share)
    model = model or "fbnet_c"
    config = load_recipe(
        recipe or ("digits" if data == DIGITS else "small-cpu"),
        epochs=epochs, batch_size=batch_size, lr=lr, seed=seed, input_size=input_size,
        device=device, precision=precision, num_processes=num_processes, workers=workers,
        threads=threads, teacher=teacher, distill=distill, teacher_size=teacher_size,
        teacher_checkpoint=str(teacher_checkpoint) if teacher_checkpoint else None,
    )  # fmt: skip
    check_device(
        config.device, precision=config.precision, sync_bn=config.sync_bn,
        num_processes=config.num_processes,
    )  # fmt: skip
    train_set, val_set = load_images(data, "train"), load_images(data, "val")
    module = start_network(
        model, train_set, config, pretrained=pretrained, checkpoint=checkpoint, new_head=new_head
    )
    config = replace(config, input_size=config.input_size or _input_size(model, module, train_set))
    assert config.input_size is not None
    name = _name(model)
    info = describe(module, train_set, config, name)
    require_fit(module, train_set, val_set, info, config)
    opened = open_teacher(config, info)
    folder = out or Path("out") / "train" / f"{name}-on-{Path(data).stem}"
    asked = {
        "model": model,
        "data": data,
        "data_sha256": train_set.sha256,
        "pretrained": pretrained,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "new_head": new_head,
        "teacher_sha256": opened.sha256 if opened else None,
    }
    run = open_run(folder, {**asked, **config.to_dict()}, resume=resume, overwrite=overwrite)
    fitted = fit(
        module, train_set, val_set, config, run, resume,
        name=name, description=f"training {name}", teacher=opened,
    )  # fmt: skip
    return TrainResult(
        name=name,
        data=data,
        out=folder,
        fitted=fitted,
        input_size=config.input_size,
        num_train=len(train_set),
        num_val=len(val_set),
        params=sum(p.numel() for p in module.parameters()),
        problems=(*train_set.problems, *val_set.problems),
    )
