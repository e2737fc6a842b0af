"""Parquet in the Hugging Face layout: a column of images, a column of labels.

The labels are read at once (they are a column of their own), the images when they are asked for:
the row group an image lies in is read whole and kept for its neighbours.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.files import (
    Listing,
    Problems,
    UnreadableImage,
    files_in,
    known_split,
    require_known,
    validation_names,
)
from pocketeye.errors import InvalidValue
from pocketeye.reading import parse_json

_IMAGE_COLUMNS = ("image", "img", "picture", "png", "jpg")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "target")
CACHE_BYTES = 64 << 20
"""Budget for the row groups that each process keeps (the newest one always)."""


def find_parquet(root: Path, split: str) -> list[Path]:
    """Return the files of a split: ``train.parquet`` or ``train-00000-of-….parquet`` in ``root`` or
    ``root/data``, or all in ``root/train``.

    For ``val`` the first that exists of its names is taken, ``test`` where there is none.
    """
    for name in validation_names(split):
        for folder in (root, root / "data"):
            files = [p for p in files_in(folder, ".parquet") if p.stem.split("-")[0] == name]
            if files := files or files_in(folder / name, ".parquet"):
                return files
    return []


def split_of_parquet(file: Path) -> str:
    """Return the split that a file of :func:`find_parquet` is named for, or its folder."""
    name = file.stem.split("-")[0]
    return name if known_split(name) else file.parent.name


def has_parquet(root: Path) -> bool:
    """Tell whether there are parquet files where :func:`find_parquet` looks."""
    folders = (root, root / "data")
    return any(find_parquet(root, split) for split in ("train", "val")) or any(
        files_in(folder, ".parquet") for folder in folders
    )


@dataclass
class ParquetSource:
    """Row groups of parquet files; group ``g`` holds the rows ``starts[g]`` to ``starts[g + 1]``."""

    files: tuple[Path, ...]
    column: str
    starts: np.ndarray
    group_file: np.ndarray
    group_number: np.ndarray
    total_bytes: int
    _kept: OrderedDict[int, Any] = field(default_factory=OrderedDict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": OrderedDict()}  # every process has its own

    def read(self, row: int) -> bytes:
        import pyarrow as pa

        # The last group that starts at or before the row.
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        try:
            data = self._group(group)[row - int(self.starts[group])].as_py()
        except (pa.ArrowException, OSError, ValueError, IndexError) as error:
            raise UnreadableImage(_first_line(error)) from error
        if not isinstance(data, bytes):
            raise UnreadableImage("no bytes")
        return data

    def _group(self, group: int) -> Any:
        """Return the binary values of a row group."""
        if group in self._kept:
            self._kept.move_to_end(group)
            return self._kept[group]
        values = self.column_of(group, self.column)
        self._kept[group] = values
        # The group in use stays, however large it is.
        while len(self._kept) > 1 and sum(v.nbytes for v in self._kept.values()) > CACHE_BYTES:
            self._kept.popitem(last=False)
        return values

    def column_of(self, group: int, column: str) -> Any:
        """Return one column of a row group; ``image.bytes`` is a field of the column ``image``."""
        from pyarrow import parquet

        path = self.files[self.group_file[group]]
        # opened each time: nothing is shared with the processes of a loader
        with parquet.ParquetFile(path) as file:
            number = int(self.group_number[group])
            # The column alone: others may hold large things.
            table = file.read_row_group(number, columns=[column], use_threads=False)
        values = table.column(0).combine_chunks()
        return values.field(0) if "." in column else values

    def name(self, row: int) -> str:
        if len(self.files) == 1:
            return f"row {row}"
        group = int(np.searchsorted(self.starts, row, side="right")) - 1
        file = self.group_file[group]
        first = self.starts[np.searchsorted(self.group_file, file)]
        return f"{self.files[file].name} row {row - first}"

    def marks(self, rows: np.ndarray) -> Iterator[bytes]:
        for file in self.files:
            yield f"{file.name}\0{file.stat().st_size}\n".encode()
        yield rows.astype("<i8").tobytes()

    def check(self, rows: np.ndarray, advance: Callable[[int], None]) -> dict[int, str]:
        """Check nothing: to look at the images would be to read the whole files."""
        advance(len(rows))
        return {}


def list_parquet(files: list[Path], classes: tuple[str, ...] | None = None) -> Listing:
    """List the labels of one split and where its images lie.

    Class names come from the schema's ``ClassLabel`` feature, else from ``classes`` (those of the
    training split), else from the labels themselves.

    Raises:
        InvalidValue: damaged file, no image or label column, no rows, labels out of range, or
            paths instead of images.
    """
    import pyarrow as pa
    from pyarrow import parquet

    groups: list[tuple[int, int, int]] = []  # (file, row group, rows)
    labels = []
    at = files[0]
    try:
        schema = parquet.read_schema(at)
        features = _features(schema)
        image, label_column = _columns(schema.names, features, at)
        column = _bytes_column(schema, image, at)
        total, null = 0, []
        for number, at in enumerate(files):
            with parquet.ParquetFile(at) as file:
                for group in range(file.num_row_groups):
                    described = file.metadata.row_group(group)
                    size, nulls = _described(described, column, at)
                    total += size
                    # Only these groups are looked into for rows without bytes.
                    null += [len(groups)] if nulls else []
                    groups.append((number, group, described.num_rows))
                labels.append(file.read(columns=[label_column], use_threads=False).column(0))
        values = pa.chunked_array([chunk for part in labels for chunk in part.chunks])
    # Ours say it already.
    except InvalidValue:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise InvalidValue(f"{at} is not a readable parquet file: {_first_line(error)}") from error
    if len(values) == 0:
        raise InvalidValue(f"{files[0]} holds no rows")
    table = np.asarray(groups, np.int64)
    # Damaged files may lack labels without an error from pyarrow.
    if table[:, 2].sum() != len(values):
        raise InvalidValue(f"{files[0]}: a label is not there for every row, the file is damaged")
    source = ParquetSource(
        files=tuple(files),
        column=column,
        starts=np.concatenate([[0], np.cumsum(table[:, 2])]),
        group_file=table[:, 0],
        group_number=table[:, 1],
        total_bytes=total,
    )
    names = features.get(label_column, {}).get("names")
    known, numbers = _labels(values, tuple(names) if names else None, classes, files[0])
    problems = Problems()
    missing = _missing(source, null, schema.field(image), problems)
    rows = np.setdiff1d(np.arange(len(values)), missing)
    if not len(rows):
        raise InvalidValue(_no_images(files[0], image, problems))
    return Listing(
        classes=known, labels=numbers[rows], source=source, rows=rows, problems=tuple(problems)
    )


def _features(schema: Any) -> dict[str, Any]:
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = parse_json(raw)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    rows = features.items() if isinstance(features, dict) else ()
    return {k: v for k, v in rows if isinstance(v, dict)}


def _columns(names: list[str], features: dict[str, Any], file: Path) -> tuple[str, str]:
    def pick(kind: str, usual: tuple[str, ...], what: str) -> str:
        typed = [k for k, v in features.items() if v.get("_type") == kind and k in names]
        named = [name for name in usual if name in names]
        if not (named or typed):
            raise InvalidValue(
                f"{file} has no column of {what} (looked for {', '.join(usual)}; it has "
                f"{', '.join(names)})"
            )
        # A column that is typed and has a usual name, then either.
        return next((name for name in named if name in typed), (typed or named)[0])

    return pick("Image", _IMAGE_COLUMNS, "images"), pick("ClassLabel", _LABEL_COLUMNS, "labels")


def _bytes_column(schema: Any, image: str, file: Path) -> str:
    """Return the leaf that holds the images' bytes."""
    import pyarrow as pa

    kind = schema.field(image).type
    if pa.types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(len(kind))]:
        kind, image = kind.field("bytes").type, f"{image}.bytes"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return image
    paths = "paths" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else str(kind)
    raise InvalidValue(
        f"{file}: the column {image} holds {paths}, not the bytes of images: save the set with "
        "its images embedded"
    )


def _described(group: Any, column: str, file: Path) -> tuple[int, bool]:
    """Return the bytes of a row group's images, and whether some are missing as far as is written."""
    for index in range(group.num_columns):
        leaf = group.column(index)
        if leaf.path_in_schema == column:
            counted = leaf.statistics is not None and leaf.statistics.has_null_count
            nulls = counted and leaf.statistics.null_count > 0
            return leaf.total_uncompressed_size, nulls
    raise InvalidValue(f"{file} has no column {column}, which the first file of the set has")


def _missing(
    source: ParquetSource, groups: list[int], image: Any, problems: Problems
) -> np.ndarray:
    """Return the rows without bytes, looked for in the row groups that say they have some."""
    path = source.column.removesuffix(".bytes") + ".path"
    has_path = source.column.endswith(".bytes") and image.type.get_field_index("path") >= 0
    missing = [np.zeros(0, np.int64)]
    for group in groups:
        empty = np.flatnonzero(source.column_of(group, source.column).is_null().to_numpy(False))
        paths = source.column_of(group, path) if has_path and len(empty) else None
        missing.append(empty + source.starts[group])
        for place, row in zip(empty, missing[-1], strict=True):
            named = paths is not None and paths[int(place)].as_py()
            problems.add(source.name(int(row)), "a path without the image" if named else "no bytes")
    return np.concatenate(missing)


def _no_images(file: Path, image: str, problems: Problems) -> str:
    if any("path" in kind for kind in problems.counts):
        return (
            f"{file}: the column {image} holds paths to images, not their bytes: save the set "
            "with its images embedded"
        )
    return f"{file}: none of the rows holds an image"


def _labels(
    values: Any, names: tuple[str, ...] | None, known: tuple[str, ...] | None, file: Path
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the class names and int64 labels of a column of numbers or names."""
    import pyarrow as pa

    if values.null_count:
        raise InvalidValue(f"{file} has {values.null_count} rows without a label")
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        coded = values.combine_chunks().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        texts = coded.dictionary.to_pylist()
        classes = names or known or tuple(sorted(texts))
        if names and (foreign := sorted(set(texts) - set(names))):
            raise InvalidValue(f"{file} has labels outside its classes: {', '.join(foreign[:5])}")
        require_known(texts, classes, str(file))
        places = {name: i for i, name in enumerate(classes)}
        codes = np.asarray([places[text] for text in texts], np.int64)
        return classes, codes[coded.indices.to_numpy(zero_copy_only=False)]
    if not pa.types.is_integer(values.type):
        raise InvalidValue(f"{file}: labels must be whole numbers or names")
    labels = values.to_numpy().astype(np.int64)
    given = names or known
    count = len(given) if given else int(labels.max()) + 1
    if labels.min() < 0 or labels.max() >= count:
        raise InvalidValue(
            f"{file}: labels run from {labels.min()} to {labels.max()}, but there are {count} classes"
        )
    return given or tuple(str(i) for i in range(count)), labels


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
