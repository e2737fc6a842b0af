"""Keep a run: a folder that explains itself and is never overwritten silently."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, Unpack

import yaml

from pocketeye.errors import InvalidValue
from pocketeye.outputs import cannot_write, clean_partials, held, require_folder, write_whole
from pocketeye.provenance import environment
from pocketeye.reading import BadField, Kind, make_mapping, pick, read_csv, read_yaml, reading
from pocketeye.text import is_unicode_text

BEST, LAST = "best.safetensors", "last.safetensors"

REPORT, RECIPE, RESULT, CURVES, SAMPLES, ANSWERS = (
    "report.html", "recipe.yaml", "result.json", "curves.png", "samples.png", "validation.png",
)  # fmt: skip

ARCHITECTURE, MODEL, EVALUATION, CARD = (
    "architecture.json", "model.json", "eval.json", "card.yaml",
)  # fmt: skip

# Of artefacts: the graph, what a detector or segmenter or a tracker has around it, what it was made of.
MANIFEST, DENSE_MANIFEST, TRACKER_MANIFEST, ORIGIN, LATENCY = (
    "artifact.json", "dense.json", "tracker.json", "export.json", "latency.json",
)  # fmt: skip

CONFIG, ENVIRONMENT, METRICS, CHECKPOINT, TENSORBOARD = (
    "config.yaml", "environment.json", "metrics.csv", "last.ckpt", "tensorboard",
)  # fmt: skip


# What `eval` writes beside the network that it judged.
JUDGED = (
    EVALUATION, "classes.csv", "confusion.csv", "confusion.png", "calibration.png", "pr.png",
    "worst.png",
)  # fmt: skip
_OF_A_RUN = (
    METRICS, RESULT, REPORT, CURVES, SAMPLES, ANSWERS, RECIPE, MODEL, ARCHITECTURE, ENVIRONMENT, *JUDGED,
)  # fmt: skip

# Keys of config.yaml: options as the user gave them, epochs, and what those were before more were added.
COMMAND, EPOCHS, ADDED = "command", "epochs", "epochs_before"
_NOT_COMPARED = (COMMAND, ADDED)


def write_atomic(path: Path, text: str | bytes, *, sync: bool = True) -> Path:
    """Write a file so that a crash or a full disk leaves the old one whole.

    Args:
        sync: see :func:`pocketeye.outputs.write_whole`.

    Raises:
        InvalidValue: the disk is full or the folder cannot be written (nothing is lost).
    """
    try:
        # Names of files that are no Unicode are escaped, as JSON has them.
        data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
        write_whole(path, data, sync=sync)
    except OSError as error:
        kept = "what was there before is unchanged" if path.is_file() else ""
        raise cannot_write(path, error, kept) from error
    return path


def write_json(path: Path, data: Any) -> Path:
    """Write plain values as a JSON file of ours, as :func:`write_atomic` does: a line for each value."""
    return write_atomic(path, json.dumps(data, indent=1) + "\n")


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """Write a CSV file; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in rows)
    return write_atomic(path, text.getvalue())


class OpenOptions(TypedDict, total=False):
    """Say how a run is opened, see :meth:`RunFolder.open`."""

    resume: bool
    overwrite: bool
    ours: Collection[str]
    command: Mapping[str, Any] | None


class RunFolder:
    """Hold the folder of a run: ``config.yaml``, ``environment.json``, ``metrics.csv`` and the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextmanager
    def held(
        cls,
        path: Path,
        config: Mapping[str, Any],
        **options: Unpack[OpenOptions],
    ) -> Iterator[RunFolder]:
        """Open a run as :meth:`open` does, and keep other processes out of it inside the block.

        Raises:
            InvalidValue: as :meth:`open`; or another process trains in the folder.
        """
        make_folder(path)
        with held(path):
            yield cls.open(path, config, **options)

    @classmethod
    def open(
        cls,
        path: Path,
        config: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        ours: Collection[str] = (),
        command: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """Make the folder, or continue in it.

        A run may go on with more ``epochs`` than it was begun with, and with nothing else changed.

        Args:
            config: plain values (what YAML can hold); compared with the stored one on resume.
            resume: continue a run that is already there.
            overwrite: start again in a folder that holds a run.
            ours: further files, and folders that are runs, that belong to the run and go with it.
            command: options the user gave, to be remembered; they are not compared.

        Raises:
            InvalidValue: the folder holds a run and neither flag was given, or weights of no run; or
                the resumed run had another configuration (the changed keys are named); or a path in
                the configuration is not Unicode.
        """
        run = cls(path)
        _require_unicode(config)
        stored = run.config() if (path / CONFIG).is_file() else None
        if stored is not None and resume:
            # Before anything is removed: the run may be of other settings.
            run._go_on(stored, _plain(dict(config)))
            clean_partials(path)
            return run
        if stored is not None and not overwrite:
            raise InvalidValue(
                f"{path} already holds a run: continue it with --resume, start again with "
                "--overwrite, or choose another --out"
            )
        # Weights without a configuration are somebody's, not a run's.
        kept = [name for name in (BEST, LAST, CHECKPOINT) if (path / name).is_file()]
        if stored is None and kept and not overwrite:
            raise InvalidValue(
                f"{path} holds {kept[0]} and no {CONFIG}, so it is no run to go on with: choose another "
                "--out, or replace what is there with --overwrite"
            )
        make_folder(path)
        written = {**config, COMMAND: command} if command else config
        try:
            clean_partials(path)
            _clear(path, ours)
        except OSError as error:
            raise cannot_write(path, error) from error
        # config.yaml last: it is what makes a folder a run, also for one that is killed here
        write_json(path / ENVIRONMENT, environment())
        run._write_config(_plain(dict(written)))
        return run

    def _go_on(self, stored: dict[str, Any], config: dict[str, Any]) -> None:
        """Refuse another configuration; take over more epochs.

        Raises:
            InvalidValue: see :meth:`open`.
        """
        before, now = (_flat({k: v for k, v in c.items() if k not in _NOT_COMPARED})
                       for c in (stored, config))  # fmt: skip
        changed = {
            key: (before.get(key), now.get(key))
            for key in sorted({*before, *now})
            if before.get(key) != now.get(key)
        }
        if list(changed) == [EPOCHS]:
            old, new = changed[EPOCHS]
            if isinstance(old, int) and isinstance(new, int) and new > old:
                # Results of fewer epochs would be believed to be of all.
                for name in (RESULT, REPORT, CURVES, *JUDGED):
                    (self.path / name).unlink(missing_ok=True)
                added = [*stored.get(ADDED, []), old]
                self._write_config({**stored, EPOCHS: new, ADDED: added})
                return
        if changed:
            raise InvalidValue(
                f"cannot resume {self.path}: the run was begun with another "
                + "; ".join(
                    f"{k} ({_said(old)}, now {_said(new)})" for k, (old, new) in changed.items()
                )
                + ": say the same again, or start again with --overwrite"
            )

    def _write_config(self, config: Mapping[str, Any]) -> None:
        write_atomic(self.path / CONFIG, yaml.safe_dump(config, sort_keys=False))

    @property
    def epochs_before(self) -> list[int]:
        """Tell how many epochs were asked for first, where a run went on after more were; else empty."""
        return list(self.config().get(ADDED, [])) if (self.path / CONFIG).is_file() else []

    @property
    def identity(self) -> str:
        """Return sha256 of what the run was begun with: that of its checkpoint has to be the same."""
        # More epochs are the same run; another seed or data are not.
        config = {k: v for k, v in self.config().items() if k not in (*_NOT_COMPARED, EPOCHS)}
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def config(self) -> dict[str, Any]:
        """Return the stored configuration.

        Raises:
            InvalidValue: it is damaged.
        """
        data = read_yaml(self.path / CONFIG)
        with reading(self.path / CONFIG, "the configuration of a run"):
            return make_mapping({} if data is None else data)

    def metrics(self, columns: Iterable[str] = ("epoch",)) -> list[dict[str, float]]:
        """Return rows of ``metrics.csv``, empty cells left out; none where there is no file.

        Args:
            columns: that every row must have.

        Raises:
            InvalidValue: it is damaged; the sentence names the line.
        """
        path = self.path / METRICS
        if not path.is_file():
            return []
        rows = []
        for line, cells in enumerate(read_csv(path), 2):
            with reading(path, "the metrics of a run", f"line {line} is damaged"):
                row = {name: _number(name, cell) for name, cell in cells.items() if cell}
                for name in columns:
                    if name not in row:
                        raise BadField(f"the column {name!r} has no value")
                rows.append(row)
        return rows

    def log_metrics(self, row: Mapping[str, float]) -> None:
        """Append a row to ``metrics.csv``; a row of an epoch already there replaces it."""
        # An epoch that is repeated after an interruption replaces its row.
        rows = [r for r in self.metrics() if r.get("epoch") != row.get("epoch")]
        rows.append(dict(row))
        keys = list(dict.fromkeys(key for r in rows for key in r))
        lines = [",".join(keys)]
        lines += [",".join(f"{r[k]:.10g}" if k in r else "" for k in keys) for r in rows]
        write_atomic(self.path / METRICS, "\n".join(lines) + "\n")

    def write_json(self, name: str, data: Any) -> Path:
        """Write ``data`` as JSON into the folder."""
        return write_json(self.path / name, data)


def _plain(value: Any) -> Any:
    """Return values as YAML gives them back."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values under names such as ``search.lr``."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{before}{key}"
        flat |= _flat(item, f"{name}.") if isinstance(item, Mapping) and item else {name: item}
    return flat


def _require_unicode(config: Mapping[str, Any]) -> None:
    for value in _flat(_plain(config)).values():
        if isinstance(value, str) and not is_unicode_text(value):
            raise InvalidValue(f"{value!r} is not Unicode, so {CONFIG} cannot hold it: rename it")


def _said(value: Any) -> str:
    return "not set" if value is None else repr(value)


def _clear(path: Path, ours: Collection[str]) -> None:
    """Remove the run in a folder: what it goes on from first, what makes it a run last."""
    for events in (path / TENSORBOARD).glob("events.out.tfevents.*"):
        events.unlink()
    for name in (CHECKPOINT, BEST, LAST, *ours, *_OF_A_RUN, CONFIG):
        # A folder that is a run of its own, as the training within a search.
        if (path / name / CONFIG).is_file():
            shutil.rmtree(path / name)
        elif not (path / name).is_dir():
            (path / name).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless it is there.

    Raises:
        InvalidValue: it cannot be made, such as below a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        require_folder(folder)  # which knows what is in the way
        raise InvalidValue(f"cannot make the folder {folder}: {error.strerror}") from error


def read_json(path: Path, /, **hints: Any) -> dict[str, Any]:
    """Return the object in a JSON file of a run.

    Args:
        hints: the types of those fields that the caller needs.

    Raises:
        MissingFile: nothing there. InvalidValue: it is damaged; the sentence names file and field.
    """
    data = _STORED.read(path)
    with reading(path, _STORED.what):
        return {**data, **pick(data, **hints)}


def read_environment(folder: Path) -> dict[str, Any]:
    """Return ``environment.json`` of a run: what :func:`environment` gave when it was begun.

    Raises:
        MissingFile, InvalidValue: as :func:`read_json`.
    """
    return read_json(folder / ENVIRONMENT, created=str, packages=dict[str, str | None])


def read_origin(folder: Path) -> dict[str, Any]:
    """Return what ``export.json`` in the folder of an artefact says of the network; empty without one.

    ``name``, ``params``, ``macs`` and ``created`` are there, None where they are not said.

    Raises:
        InvalidValue: it is damaged.
    """
    if not (folder / ORIGIN).is_file():
        return {}
    data = _ORIGIN.read(folder / ORIGIN)
    with reading(folder / ORIGIN, _ORIGIN.what, _ORIGIN.remedy):
        pick(data, name=str | None, params=int | None, macs=int | None, created=str | None)
    return data


_ORIGIN = Kind(what="a file that an export of pocketeye wrote", remedy="export the network again")
_STORED = Kind(what="a file that a run of pocketeye wrote")


def _number(name: str, cell: str) -> float:
    """Return the number in a cell; a loss may be ``nan``, an epoch may not."""
    try:
        value = float(cell)
    except ValueError:
        raise BadField(f"{name} is {cell!r:.40}, and should be a number") from None
    # An epoch is counted with; a loss may well be NaN.
    if name == "epoch" and not (value.is_integer() and 0 <= value < 1e9):
        raise BadField(f"epoch is {cell!r:.40}, and should be a whole number from 0 up")
    return value
