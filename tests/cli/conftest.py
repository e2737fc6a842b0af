"""A verb made up for the tests, reached through the real command line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from pocketeye.cli import app as cli_app
from pocketeye.errors import InvalidValue
from pocketeye.progress import task
from pocketeye.verb_result import VerbResult


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of options.

    Attributes:
        epochs: how many.
        lr: how fast.
    """

    epochs: int = 3
    lr: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Result(VerbResult):
    values: dict[str, Any]
    files: tuple[Path, ...] = ()
    code: int = 0

    def to_dict(self) -> dict[str, Any]:
        return self.values

    def lines(self) -> list[str]:
        return [f"[bold]values[/bold] {len(self.values)}"]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        return ["pocketeye info fbnet_c"]

    @property
    def exit_code(self) -> int:
        return self.code


def toy(
    model: str,
    *,
    mode: Literal["fast", "paper", "user", "crash", "ctrl-c", "full", "no"] = "fast",
    input_size: int | None = None,
    out: Path | None = None,
    sizes: tuple[int, ...] = (1,),
    train: Group = Group(),
) -> Result:
    """Do next to nothing.

    Args:
        model: anything.
        mode: how to end.
        input_size: a number.
        out: a file to write.
        sizes: more numbers.
        train: a group.
    """
    sys.stdout.write("a library prints this\n")
    with task("toying", 2) as bar:
        bar.advance()
        bar.note("loss 0.1")
        bar.advance()
    if mode == "user":
        raise InvalidValue("this cannot be: choose another")
    if mode == "crash":
        raise ZeroDivisionError("our mistake")
    if mode == "ctrl-c":
        raise KeyboardInterrupt
    if mode == "full":
        raise OSError(28, "No space left on device", "big.bin")
    if out:
        out.write_text("x" * 1500)
    values = {
        "model": model, "input_size": input_size, "sizes": sizes, "epochs": train.epochs,
        "lr": train.lr, "nan": float("nan"), "path": out,
    }  # fmt: skip
    return Result(values=values, files=(out,) if out else (), code=int(mode == "no"))


@pytest.fixture
def toy_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts ``toy`` among the verbs."""
    module = ModuleType("pocketeye.verbs.toy")
    module.toy = toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pocketeye.verbs.toy", module)
    monkeypatch.setitem(cli_app.VERBS, "toy", "toy")
    real = cli_app.summary
    monkeypatch.setattr(cli_app, "summary", lambda m, f: "Toy." if m == "toy" else real(m, f))
