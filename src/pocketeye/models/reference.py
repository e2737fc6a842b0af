"""Tell what the user named: one answer for every command and function that takes a network.

A name of ours, a name of timm's, an ``architecture.json``, the folder of a run, or the folder of an
exported artefact: :func:`resolve` tells which it is, and for which task it was made, without making it.
A network on disk wins over a name; a folder without a network does not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import timm

from pocketeye.errors import InvalidValue, MissingFile, unknown
from pocketeye.models._registry import own_models
from pocketeye.models.tam.create import list_tams
from pocketeye.models.task import CLASSIFY, TASKS, TRACK, Task
from pocketeye.models.weights.bundled import bundled_run, bundled_runs
from pocketeye.models.weights.described import task_in
from pocketeye.reading import can_exist
from pocketeye.runs import (
    ARCHITECTURE,
    BEST,
    DENSE_MANIFEST,
    MANIFEST,
    MODEL,
    TRACKER_MANIFEST,
)

# A frequent mistake: a file of weights where a network is asked for. It gets a sentence of its own.
_WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")


@dataclass(frozen=True, kw_only=True)
class Named:
    """Name one of ours: a backbone, perhaps with a tag after a dot, or a tracker, as ``task`` says."""

    name: str
    task: Task = CLASSIFY

    @property
    def base(self) -> str:
        """The name without its tag."""
        return self.name.partition(".")[0]

    @property
    def what(self) -> str:
        """What it is, with its article, for sentences."""
        return "a tracker" if self.task.takes_prompts else "a registered network"


@dataclass(frozen=True, kw_only=True)
class TimmName:
    """Name a network that timm brings, perhaps with a tag after a dot."""

    name: str

    @property
    def base(self) -> str:
        """The name without its tag."""
        return self.name.partition(".")[0]

    @property
    def task(self) -> Task:
        """Task of the network: only classifiers go by such a reference."""
        return CLASSIFY

    @property
    def what(self) -> str:
        """What it is, with its article, for sentences."""
        return "a network of timm"


@dataclass(frozen=True, kw_only=True)
class ArchitectureFile:
    """Point at an ``architecture.json``; ``weights`` are those of its folder, if that was named."""

    path: Path
    weights: Path | None = None

    @property
    def task(self) -> Task:
        """Task of the network: only classifiers go by such a reference."""
        return CLASSIFY

    @property
    def name(self) -> str:
        """Name of its folder for ``NAME/architecture.json``, else that of the file."""
        path = self.path.resolve()
        return path.parent.name if path.name == ARCHITECTURE else path.stem

    @property
    def what(self) -> str:
        """What it is, with its article, for sentences."""
        return "an architecture"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Point at the folder of a run, of any task.

    ``bundled`` marks those that come along and go by their name.
    """

    folder: Path
    task: Task
    bundled: bool = False

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def what(self) -> str:
        """What it is, with its article, for sentences."""
        return f"a run of {self.task.kind}"

    @property
    def weights(self) -> Path:
        """Path of its best weights.

        Raises:
            MissingFile: there are none before the first epoch is over.
        """
        path = self.folder / BEST
        if not path.is_file():
            raise MissingFile(
                f"{self.folder} has no weights yet ({BEST} is missing): finish its training"
            )
        return path


@dataclass(frozen=True, kw_only=True)
class ArtifactFolder:
    """Point at the folder of an exported artefact, of any task."""

    folder: Path
    task: Task

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def what(self) -> str:
        """What it is, with its article, for sentences."""
        return f"an artefact of {self.task.kind}"


Reference = Named | TimmName | ArchitectureFile | Run | ArtifactFolder


def resolve(model: str | Path, *, others: Collection[str] = ()) -> Reference:
    """Say what a name or path means.

    Args:
        model: what the user typed.
        others: names that the caller knows besides, for the nearest spelling of an unknown one.

    Raises:
        InvalidValue: an unknown name (with the nearest spelling), a file of weights, or a damaged
            description; the sentence says what to give instead.
        MissingFile: nothing at that path, or a folder without a network.
    """
    # The disk first: whoever has a folder "fbnet_c" with a network in it means that one.
    found = network_at(Path(model)) or _by_name(str(model))
    if found is None:
        raise _unknown_network(str(model), Path(model), others)
    return found


def expect(
    model: str | Path,
    doing: str,
    tasks: Collection[Task] = tuple(TASKS.values()),
    *,
    artifacts: bool = True,
) -> Reference:
    """Resolve a name or path, and refuse what somebody does not take.

    Args:
        model: what the user typed.
        doing: who asks, for the sentence: ``pocketeye export``, ``create_model``.
        tasks: of the networks that are taken.
        artifacts: whether artefacts of such networks are taken too.

    Raises:
        InvalidValue, MissingFile: as :func:`resolve`; or a network of another kind.
    """
    named = resolve(model)
    if named.task not in tasks or (isinstance(named, ArtifactFolder) and not artifacts):
        raise wrong_kind(model, named, doing)
    return named


def wrong_kind(model: str | Path, named: Reference, doing: str) -> InvalidValue:
    """Return the error for a network of a kind that somebody does not take.

    Args:
        model: what the user typed.
        named: what it is.
        doing: who does not take it: ``pocketeye export``, ``create_model``.
    """
    if isinstance(named, ArtifactFolder):
        # An artefact can be used like its run, except that nothing can be exported from it.
        use = "name the run it was made of, or use it with " + _listed(
            tuple(verb for verb in named.task.verbs if verb != "export")
        )
    else:
        use = f"use it with {_listed(named.task.verbs)}"
    return InvalidValue(f"{model} is {named.what}, which {doing} does not take: {use}")


def own_folder(model: str | Path) -> Path | None:
    """Return the folder that what is found out about a network belongs into.

    That is the folder of a user's run or artefact; None for names, also of runs that come along.

    Raises:
        InvalidValue, MissingFile: as :func:`resolve`.
    """
    named = resolve(model)
    # Nothing is written into the installed package.
    if isinstance(named, ArtifactFolder) or (isinstance(named, Run) and not named.bundled):
        return named.folder
    return None


def known_names(*, include_timm: bool = True) -> list[str]:
    """Return every name that :func:`resolve` knows, tags left out."""
    # More than a thousand names: left out where they would drown ours.
    timms = timm.list_models() if include_timm else []
    return sorted({*own_models(), *timms, *list_tams(), *bundled_runs()})


def _listed(verbs: tuple[str, ...]) -> str:
    *others, last = (f"pocketeye {verb}" for verb in verbs)
    return f"{', '.join(others)} or {last}" if others else last


def network_at(path: Path) -> Reference | None:
    """Recognise what lies at a path; None where it is no network."""
    if not can_exist(path):
        return None
    if path.is_dir():
        # An artefact may lie in a run's folder beside model.json: what was exported last is meant.
        if (path / MANIFEST).is_file():
            return ArtifactFolder(folder=path, task=_task_of_artifact(path))
        if (path / MODEL).is_file():
            return Run(folder=path, task=task_in(path / MODEL))
        if (path / ARCHITECTURE).is_file():
            weights = path / BEST if (path / BEST).is_file() else None
            return ArchitectureFile(path=path / ARCHITECTURE, weights=weights)
        return None
    if not path.is_file():
        return None
    # A file of the folder names the folder: shells complete paths to files.
    if path.name in (MODEL, MANIFEST, DENSE_MANIFEST, TRACKER_MANIFEST):
        return network_at(path.parent)
    # Any other file is weights or a mistake, which the caller tells.
    return ArchitectureFile(path=path) if path.suffix == ".json" else None


def _task_of_artifact(folder: Path) -> Task:
    """Return the task of an artefact; graphs that do not say, as other programs', are classifiers."""
    for name in (TRACKER_MANIFEST, DENSE_MANIFEST, MODEL):
        if (folder / name).is_file():
            return task_in(folder / name)
    return CLASSIFY


def _by_name(text: str) -> Reference | None:
    """Return the network of that name, None for an unknown one; an unknown tag raises InvalidValue."""
    folder = bundled_run(text)
    # Ours go first: a bundled name has a dot as timm's tags have, and timm would not know it.
    if folder is not None:
        return Run(folder=folder, task=task_in(folder / MODEL), bundled=True)
    if text in list_tams():
        return Named(name=text, task=TRACK)
    base = text.partition(".")[0]
    if not timm.is_model(base):
        return None
    # timm would refuse the tag, without naming those it has.
    if text != base and not _has_cfg(text):
        tags = timm.list_models(f"{base}.*", include_tags=True)
        raise unknown("model", text, [*tags, *bundled_runs()], "see `pocketeye list`")
    return Named(name=text) if base in own_models() else TimmName(name=text)


def _has_cfg(name: str) -> bool:
    """Tell whether timm knows the tag, with published weights or without."""
    try:
        return timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # what timm raises for an unknown tag
        return False


def _unknown_network(text: str, path: Path, others: Collection[str]) -> InvalidValue | MissingFile:
    """Write the sentence on what is no network."""
    if not can_exist(path):
        return MissingFile(f"no network at {text[:60]}…: a name of {len(text)} characters is none")
    if path.is_dir():
        names = f"{MODEL}, {ARCHITECTURE} or {MANIFEST}"
        return MissingFile(f"no network at {path}: the folder has no {names}")
    if path.is_file():
        if path.suffix in _WEIGHTS:
            return InvalidValue(
                f"{path} holds weights, which do not say of what network: name the network, and give "
                "the file with --checkpoint"
            )
        return InvalidValue(f"{path} is no network: give a name, a run folder or an artefact")
    # Meant as a path: the nearest spelling among names would be no help.
    if path.suffix == ".json" or len(path.parts) > 1:
        return MissingFile(f"no network at {path}: there is no such file or folder")
    return unknown("model", text, [*known_names(), *others], "see `pocketeye list`")
