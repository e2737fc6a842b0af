"""A room imports only rooms on lower floors (CONTRIBUTING.md)."""

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "pocketeye"
FLOORS = {
    "__version__": 0, "layers": 0, "errors": 0, "results": 0, "progress": 0, "runs": 0, "pages": 0,
    "devices": 0,
    "models": 1,
    "runtimes": 2, "data": 2, "metrics": 2,
    "latency": 3,
    "training": 4, "tracking": 4,
    "searching": 5,
    "verbs": 6,
    "cli": 7,
}  # fmt: skip
# The package's face re-exports from every room; rooms take nothing from it but the version.
FACES = {"__init__", "__main__"}


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
    assert room in FLOORS, f"{room} has no floor: give it one here and in CONTRIBUTING.md"
    for imported in imports_of(path) - {room}:
        assert imported in FLOORS, f"{path} imports pocketeye.{imported}, which has no floor"
        same_ground = FLOORS[room] == FLOORS[imported] == 0
        assert FLOORS[imported] < FLOORS[room] or same_ground, (
            f"{room} (floor {FLOORS[room]}) imports {imported} (floor {FLOORS[imported]})"
        )


def test_the_check_sees_imports() -> None:
    assert "errors" in imports_of(SRC / "models" / "architecture.py")
