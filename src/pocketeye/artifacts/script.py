"""Write ``predict.py`` of a dense artefact: its companions in one file, without pocketeye and torch.

It is put together from the very modules that pocketeye itself uses, so that both say the same.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from types import ModuleType

from pocketeye.artifacts import detection_numpy, mask_rcnn_numpy, roi_numpy, semantic_numpy
from pocketeye.models.task import DETECT, INSTANCE, SEMANTIC, Task

# The script opens ONNX files; a torch artefact needs torch, and so pocketeye, anyway.
SCRIPT_RUNTIME = "onnxruntime"
_MODULES: Mapping[Task, tuple[ModuleType, ...]] = {
    DETECT: (semantic_numpy, detection_numpy),
    INSTANCE: (semantic_numpy, detection_numpy, roi_numpy, mask_rcnn_numpy),
    SEMANTIC: (semantic_numpy,),
}
_IMPORT = re.compile(r"^from (\S+) import (?:\([^)]*\)|[^\n]*)\n", re.MULTILINE)
_DOCSTRING = re.compile(r'\A""".*?"""\n', re.DOTALL)
_HEAD = '''"""Use this artefact without pocketeye: python predict.py IMAGE

Needs numpy, onnxruntime and pillow. Prints a line per object, or writes IMAGE.labels.png with the
class of every pixel. Written by pocketeye {version} (Apache-2.0); not to be edited.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
'''
_RUN = '''
# --- use

HERE = Path(__file__).resolve().parent


def graph(path):
    """A graph as a function of arrays."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: np.ascontiguousarray(x)})


def main(path):
    said = json.loads((HERE / "dense.json").read_text(encoding="utf-8"))
    image = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    canvas = tuple(said["canvas"])
    x, size = prepare(image, canvas, said["mean"], said["std"])
    first = graph(HERE / "model.onnx")
'''
_ENDS: Mapping[Task, str] = {
    DETECT: """    [found] = RetinaDecoder(**said["decoder"])(first(x), size, image.shape[:2])
    for box, score, label in zip(found.boxes, found.scores, found.labels):
        print(said["classes"][label], f"{score:.4f}", *(f"{side:.2f}" for side in box))
""",
    INSTANCE: """    heads = [graph(HERE / part / "model.onnx") for part in ("box_head", "mask_head")]
    decoder = MaskRCNNDecoder(**said["decoder"])
    found = decoder(x, first, *heads, said["crops_per_run"], size, image.shape[:2])
    for box, score, label, mask in zip(found.boxes, found.scores, found.labels, found.masks):
        area = int((mask > 0.5).sum())
        print(said["classes"][label], f"{score:.4f}", *(f"{side:.2f}" for side in box), area)
""",
    SEMANTIC: """    labels = label_map(first(x)[0][0], canvas, size, image.shape[:2])
    target = Path(path).with_suffix(".labels.png")
    Image.fromarray(labels.astype(np.uint8)).save(target)
    print("wrote", target)
""",
}
_TAIL = """

if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
"""


def dense_script(task: Task, version: str) -> str:
    """Return the text of ``predict.py`` for a task."""
    modules = [part_of(module) for module in _MODULES[task]]
    return "\n".join([_HEAD.format(version=version), *modules, _RUN + _ENDS[task] + _TAIL])


def part_of(module: ModuleType) -> str:
    """Return a module as a part of a script, whose imports are gathered at its top."""
    source = _IMPORT.sub("", _DOCSTRING.sub("", inspect.getsource(module)))
    source = re.sub(r"^import \S+( as \S+)?\n", "", source, flags=re.MULTILINE)
    return f"\n# --- {module.__name__.rpartition('.')[2]}\n\n{source.strip()}\n"
