"""A room imports only rooms on lower floors, also inside a room; nothing imports in a circle.

The floors stand in pyproject.toml.
"""

import ast
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "pocketeye"
_HOUSE = tomllib.loads((SRC.parents[1] / "pyproject.toml").read_text("utf-8"))["tool"]["pocketeye"]
# Room -> floor; the list in pyproject.toml begins with the ground floor.
FLOORS = {room: floor for floor, rooms in enumerate(_HOUSE["floors"]) for room in rooms}
# The package's face re-exports from every room; rooms take nothing from it but the version.
FACES = {"__init__", "__main__"}

# Inside a room: folders that must not import each other, whatever they take from below.
SIBLINGS = {
    "data": {"classification", "detection", "semantic", "mask_sets", "vos"},
    "training": {"classify", "dense", "tam"},
}
# Inside a folder of annotations: one file per layout, which take nothing from each other.
LAYOUTS = {
    "data/classification": {"folders", "labelled", "parquet", "webdataset"},
    "data/detection": {"coco", "labelled", "voc", "yolo"},
    "data/semantic": {"ade20k", "cityscapes", "folders", "labelled"},
    "data/mask_sets": {"coco", "labels", "sa1b"},
    "data/vos": {"label_files", "sav"},
    "data/labelled": {"coco", "cvat", "label_studio", "labelme", "mot", "voc", "yolo"},
}
# Floors inside ``data``: files < samples < annotations < what is made of them.
DATA_FLOORS = {
    "files": 0, "labelled": 1, "sample": 1, "seeded": 1, "inputs": 1, "video": 1,
    "classification": 2, "detection": 2, "semantic": 2, "mask_sets": 2, "vos": 2,
    "clips": 3, "transforms": 3, "loaders": 4, "describing": 4,
}  # fmt: skip


def room_of(module: str) -> str | None:
    """``pocketeye.models.backbones.fbnet`` -> ``models``; None for other packages."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] or "__init__" if package == "pocketeye" else None


def imports_of(path: Path) -> set[str]:
    """Rooms imported anywhere in a file, also inside functions."""
    rooms: set[str | None] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "pocketeye":
                rooms |= {room_of(f"pocketeye.{alias.name}") for alias in node.names}
            else:
                rooms.add(room_of(node.module or ""))
    return {room for room in rooms if room is not None}


def files() -> list[Path]:
    return sorted(p for p in SRC.rglob("*.py") if not (p.parent == SRC and p.stem in FACES))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_go_down(path: Path) -> None:
    room = path.relative_to(SRC).parts[0].removesuffix(".py")
    assert room in FLOORS, f"{room} has no floor: give it one in pyproject.toml"
    for imported in imports_of(path) - {room}:
        assert imported in FLOORS, f"{path} imports pocketeye.{imported}, which has no floor"
        same_ground = FLOORS[room] == FLOORS[imported] == 0
        assert FLOORS[imported] < FLOORS[room] or same_ground, (
            f"{room} (floor {FLOORS[room]}) imports {imported} (floor {FLOORS[imported]})"
        )


def test_the_check_sees_imports() -> None:
    assert "errors" in imports_of(SRC / "models" / "architecture.py")


def module_of(path: Path) -> str:
    """``src/pocketeye/data/sample.py`` -> ``pocketeye.data.sample``."""
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_in(path: Path, known: Collection[str]) -> set[str]:
    """Our modules that a file imports, also inside functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            # ``from package import module`` takes the module, any other name the package's face.
            found |= whole & set(known)
            found |= {node.module} if whole - set(known) else set()
    return found & set(known)


def below(module: str, package: str) -> str | None:
    """The next name of a module below ``package``; None for one that is not inside."""
    inside = module.removeprefix(f"pocketeye.{package}.")
    return None if inside == module else inside.partition(".")[0]


def circles(graph: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Groups of modules that import each other, directly or on the way (strong components)."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        seen: set[str] = set()
        pending = [module]
        while pending:
            new = set(graph[pending.pop()]) - seen
            seen |= new
            pending += new
        reached[module] = seen
    inside = [module for module in graph if module in reached[module]]
    groups = {frozenset(b for b in inside if b in reached[a] and a in reached[b]) for a in inside}
    return [set(group) for group in groups]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """What every module of ours imports."""
    paths = {module_of(path): path for path in SRC.rglob("*.py")}
    # The package's face re-exports from all rooms; what they take from it is the version.
    return {
        module: modules_in(path, paths) - {module, "pocketeye"} for module, path in paths.items()
    }


def test_nothing_imports_in_a_circle(graph: dict[str, set[str]]) -> None:
    found = circles(graph)
    assert not found, "modules import each other: " + "; ".join(map(str, map(sorted, found)))


def test_the_check_sees_circles() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"d"}}
    assert circles(graph) == [{"a", "b", "c"}]


@pytest.mark.parametrize(("room", "folders"), SIBLINGS.items(), ids=SIBLINGS)
def test_siblings_do_not_import_each_other(
    room: str, folders: set[str], graph: dict[str, set[str]]
) -> None:
    for module, imported in graph.items():
        own = below(module, room)
        if own in folders:
            others = {name for name in imported if below(name, room) in folders - {own}}
            assert not others, f"{module} imports {sorted(others)}"


@pytest.mark.parametrize(("folder", "layouts"), LAYOUTS.items(), ids=LAYOUTS)
def test_layouts_do_not_import_layouts(
    folder: str, layouts: set[str], graph: dict[str, set[str]]
) -> None:
    package = folder.replace("/", ".")
    for name in layouts:
        imported = {below(other, package) for other in graph[f"pocketeye.{package}.{name}"]}
        assert not imported & (layouts - {name}), f"{name} imports another layout of {folder}"


def test_data_imports_go_down(graph: dict[str, set[str]]) -> None:
    for module, imported in graph.items():
        own = below(module, "data")
        if own is None:
            continue
        assert own in DATA_FLOORS, f"{module} has no floor inside data"
        for other in filter(None, (below(name, "data") for name in imported)):
            assert other == own or DATA_FLOORS[other] < DATA_FLOORS[own], f"{own} imports {other}"
