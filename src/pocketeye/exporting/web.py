"""Put a page around an exported network: a folder that any web server serves."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from pocketeye import runs
from pocketeye.artifacts.tracker import TrackerManifest, graph_folder, reading_graph
from pocketeye.errors import InvalidValue
from pocketeye.exporting.web_weights import pack_graphs
from pocketeye.models.task import CLASSIFY, DETECT, SEMANTIC, TRACK, Task
from pocketeye.models.weights.described import task_in
from pocketeye.outputs import cannot_write, whole_folder
from pocketeye.runs import DENSE_MANIFEST, MODEL, TRACKER_MANIFEST, sha256_of
from pocketeye.runtimes.base import Artifact
from pocketeye.runtimes.browser.assets import ORT_WASM, PAGES, ort_folder, ort_version

WEB = "web"  # as `pocketeye export --to` takes it
SITE, SITE_SCHEMA = "site.json", "pocketeye.site/1"
_ONLY = "network"  # name of the graph of all but trackers
_ORT, _WASM = ORT_WASM[0], f"{ORT_WASM[1]}.gz"
_OWN = Path(__file__).parent / "web_pages"
_SHARED = "shared"
# Folders of pages; a site is flat, as its files name one another without folders.
_OF_TASK = {CLASSIFY: "try", DETECT: "try", SEMANTIC: "try", TRACK: "track"}
# As session.mjs: 4 corrected frames, 2 anchors and 3 recent maps are read at most.
_MOST_MAPS = 9
# ONNX Runtime Web runs the files of this runtime as they are.
_RUNTIME = "onnxruntime"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Hold a folder of static files.

    Attributes:
        size_bytes: of all that a browser fetches at the first visit.
    """

    folder: Path
    files: tuple[str, ...]
    size_bytes: int


def page_files(task: Task) -> dict[str, Path]:
    """Return the files of ours that a page of a task has, by their names in the site."""
    folders = (_OWN / _SHARED, _OWN / _OF_TASK[task])
    return {path.name: path for folder in folders for path in sorted(folder.iterdir())}


def write_site(model: Path, folder: Path) -> Site:
    """Write the page for an artefact into ``folder``.

    Args:
        model: folder of an artefact for ONNX Runtime, of a classifier, detector, semantic segmenter or
            tracker.

    Raises:
        MissingFile: no artefact, or ONNX Runtime Web was not fetched.
        InvalidValue: an artefact that pages cannot run, or a folder that cannot be written.
    """
    artifact = Artifact.load(model)
    if artifact.runtime != _RUNTIME:
        raise InvalidValue(
            f"{model} was made for the runtime {artifact.runtime!r}, and pages run files of "
            f"{_RUNTIME!r}: export it again with --to web"
        )
    task, described = _task_of(model)
    if task not in _OF_TASK:
        known = ", ".join(one.kind for one in _OF_TASK)
        raise InvalidValue(f"a page can run {known} for now, and {model} is {task.kind}")
    wasm, pages = ort_folder(), page_files(task)
    sources = {
        "index.html": pages.pop(f"{_OF_TASK[task]}.html"),
        **pages,
        "style.css": PAGES / "style.css",
        _ORT: wasm / _ORT,
    }
    sources[described] = model / described
    graphs = _tracker_graphs(model) if task is TRACK else {_ONLY: artifact}
    with whole_folder(folder, SITE) as staging:
        try:
            _copy(sources, staging)
            packed = pack_graphs(graphs, staging)
            _compress(wasm / ORT_WASM[1], staging / _WASM)
            files = (*sources, _WASM, *packed)
            _describe(staging, task.name, files)
        except OSError as error:
            raise cannot_write(folder, error) from error
    sizes = [(folder / name).stat().st_size for name in files]
    return Site(folder=folder, files=files, size_bytes=sum(sizes))


def _task_of(model: Path) -> tuple[Task, str]:
    """Return the task of an artefact, and the file that says what stands around its graphs."""
    if (model / TRACKER_MANIFEST).is_file():
        return TRACK, TRACKER_MANIFEST
    described = DENSE_MANIFEST if (model / DENSE_MANIFEST).is_file() else MODEL
    return task_in(model / described), described


def _tracker_graphs(model: Path) -> dict[str, Artifact]:
    """Return the graphs that a page's sessions run."""
    said = TrackerManifest.load(model)
    # Graphs of more maps than the page's sessions read would only be downloaded.
    enough = min((c for c in said.capacities if c >= _MOST_MAPS), default=max(said.capacities))
    unread = {reading_graph(c) for c in said.capacities if c > enough}
    names = (name for name in said.names if name not in unread)
    return {name: Artifact.load(graph_folder(model, name)) for name in names}


def _copy(sources: dict[str, Path], folder: Path) -> None:
    for name, source in sources.items():
        shutil.copyfile(source, folder / name)


def _compress(source: Path, target: Path) -> None:
    """Compress WebAssembly to a quarter: plain web servers send files as they are."""
    # Without the time of day: the same site is the same bytes.
    target.write_bytes(gzip.compress(source.read_bytes(), mtime=0))


def _describe(folder: Path, task: str, files: tuple[str, ...]) -> None:
    """Write what the service worker keeps; another content is another version."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(f"{name} {sha256_of(folder / name)}\n".encode())
    said = {
        "schema": SITE_SCHEMA,
        "task": task,
        "version": digest.hexdigest()[:16],
        "onnxruntime_web": ort_version(),
        "files": list(files),
    }
    # Last: a site without it was not finished.
    runs.write_json(folder / SITE, said)
