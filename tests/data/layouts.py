"""Small sets in the layouts that are read."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image

Members = list[tuple[str, bytes]]
RED, GREEN = (220, 20, 20), (20, 200, 20)


def make_image(
    path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (12, 10)
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def write_parquet(
    file: Path,
    rows: list[tuple[bytes | None, int]],
    names: list[str] | None,
    row_group_size: int = 1000,
    path: str | None = None,
) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    image = pa.array(
        [{"bytes": data, "path": path} for data, _ in rows],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": image, "label": pa.array([label for _, label in rows], pa.int64())})
    if names:
        label = {"_type": "ClassLabel", "names": names}
        features = {"image": {"_type": "Image"}, "label": label}
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": text})
    parquet.write_table(table, file, row_group_size=row_group_size)


def encoded(value: int, kind: str = "PNG", size: tuple[int, int] = (6, 5)) -> bytes:
    """An image of one colour that ``value`` decides."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (value % 256, 3 * value % 256, 90)).save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(first: int, count: int, classes: int = 2) -> Members:
    found: Members = []
    for index in range(first, first + count):
        label = str(index % classes).encode()
        found += [(f"s{index:04}.png", encoded(index)), (f"s{index:04}.cls", label)]
    return found
