"""Write ``track.py`` of a tracker's artefact: the rules and the engine in one file, without torch.

It is put together from the very modules that sessions use, so that both track the same.
"""

from __future__ import annotations

from types import ModuleType

from pocketeye import errors
from pocketeye.artifacts.script import part_of
from pocketeye.models.tam import memory_rule, prompt_numbers
from pocketeye.tracking.engine import artifact, base
from pocketeye.tracking.image import components, resize
from pocketeye.tracking.video import distractors, memory, objects, options, placed, signals, view

# Each stands behind those that it takes something from.
MODULES: tuple[ModuleType, ...] = (
    errors, memory_rule, prompt_numbers, base, resize, artifact, components, options, signals,
    distractors, memory, placed, view, objects,
)  # fmt: skip
_HEAD = '''"""Track objects in a video without pocketeye and torch: python track.py VIDEO ID:X,Y …

An object is shown by a number from 1 up and a click, ``1:240,135``, or a box, ``1:X0,Y0,X1,Y1``, in
pixels of the video; ``@N`` behind it is the frame, 0 without it. Several of one number in one frame
go together, ``1:240,135:0`` is a click beside the object.

VIDEO is a file or a folder of images. Masks go to the folder given with --out (by default
VIDEO.masks) as one PNG a frame, whose pixels are the objects' numbers; a line a frame goes to the
screen. --threads N gives ONNX Runtime more than one.

Needs numpy, onnxruntime, pillow and, for video files, av. Written by pocketeye {version}
(Apache-2.0); not to be edited.
"""

from __future__ import annotations

import argparse
import difflib
import enum
import json
import math
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
'''
_RUN = '''
# --- use

HERE = Path(__file__).resolve().parent


class Graphs(dict):
    """The graphs by name, each opened when it is first used."""

    def __init__(self, threads):
        self.threads, self.weights = threads, []
        # One arena for all graphs, which run one after another.
        onnxruntime.create_and_register_allocator(
            onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
                                      onnxruntime.OrtMemType.DEFAULT),
            onnxruntime.OrtArenaCfg({"max_mem": 0, "arena_extend_strategy": 1,
                                     "initial_chunk_size_bytes": -1,
                                     "max_dead_bytes_per_chunk": -1}),
        )

    def __missing__(self, name):
        path = HERE / ("" if name == "image" else name) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        # Softmax leaves numbers next to zero, which processors compute with slowly.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False
        said = json.loads(path.with_name("artifact.json").read_text(encoding="utf-8"))["extra"]
        # Kept: ONNX Runtime reads them where they lie.
        self.weights.append(weights_of(path.parent, said.get("weights")))
        options.add_external_initializers(
            list(self.weights[-1]),
            [onnxruntime.OrtValue.ortvalue_from_numpy(a) for a in self.weights[-1].values()],
        )
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [each.name for each in session.get_inputs()]
        self[name] = lambda *arrays: session.run(None, dict(zip(names, arrays)))
        return self[name]


def weights_of(folder, said):
    """Return the constants that a graph has in a file with others, by name."""
    if not said:
        return {}
    data = np.memmap((folder.parent if said["above"] else folder) / "weights.bin", mode="r")
    found = {}
    for name, (offset, dtype, shape) in said["table"].items():
        found[name] = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape)
    return found


def frames_of(path):
    """Yield uint8 RGB frames of a folder of images or of a video."""
    if path.is_dir():
        for each in sorted(p for p in path.iterdir() if p.suffix.lower() in (".jpg", ".jpeg",
        ".png")):
            yield np.asarray(ImageOps.exif_transpose(Image.open(each)).convert("RGB"))
        return
    import av

    with av.open(str(path)) as container:
        for each in container.decode(video=0):
            # Phones write upright videos lying down, and say so.
            turns = round(each.rotation / 90) % 4
            yield np.ascontiguousarray(np.rot90(each.to_ndarray(format="rgb24"), turns))


def prompts_of(words):
    """Return {frame: {number: Prompt}} of words such as 1:240,135@0."""
    found = {}
    for word in words:
        try:
            number, _, rest = word.partition(":")
            place, _, frame = rest.partition("@")
            place, _, label = place.partition(":")
            numbers = [float(value) for value in place.split(",")]
            points = list(zip(numbers[::2], numbers[1::2]))
            labels = {2: [int(label or 1)], 4: [TOP_LEFT, BOTTOM_RIGHT]}[len(numbers)]
            of_frame = found.setdefault(int(frame or 0), {})
            number = int(number)
        except (ValueError, KeyError):
            raise SystemExit(f"{word!r} is no object: write ID:X,Y or ID:X0,Y0,X1,Y1, and @FRAME")
        known = of_frame.get(number, Prompt())
        # SAM 2 wants a box before any click.
        first, second = (points, list(known.points)), (labels, list(known.labels))
        if len(numbers) == 2:
            first, second = first[::-1], second[::-1]
        of_frame[number] = Prompt(points=sum(first, []), labels=sum(second, []))
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("objects", nargs="+", metavar="ID:X,Y")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    prompts = prompts_of(asked.objects)
    out = asked.out or asked.video.with_suffix(".masks")
    out.mkdir(parents=True, exist_ok=True)
    said = json.loads((HERE / "tracker.json").read_text(encoding="utf-8"))
    objects = TrackedObjects(ArtifactEngine(said, Graphs(asked.threads)), Options())
    for number, image in enumerate(frames_of(asked.video)):
        height, width = image.shape[:2]
        view = View(number, image)
        objects.track(view)
        for one, prompt in prompts.get(number, {}).items():
            objects.prompt(one, prompt, view, (width, height), Options().max_prompted_maps)
        labels, line = np.zeros((height, width), np.uint16), []
        for one, answer in objects.answers(number, only_due=True):
            mask = enlarged_mask(answer.low_res_masks[0, 0], height, width)
            labels[mask] = one
            score = 1 / (1 + math.exp(-answer.score))
            line.append(f"{one}: score {score:.3f}, {int(mask.sum())} pixels")
        kind = np.uint8 if labels.max() < 256 else np.uint16
        Image.fromarray(labels.astype(kind)).save(out / f"{number:05d}.png")
        print(f"frame {number}", *line, sep="   ", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(str(error))
'''


def tracker_script(version: str) -> str:
    """Return the text of ``track.py``."""
    return "\n".join([_HEAD.format(version=version), *map(part_of, MODULES), _RUN])
