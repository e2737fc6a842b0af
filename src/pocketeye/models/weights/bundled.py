"""Find the small trained networks that come with the package, each a run folder with a name.

A name is that of the network and, after a dot, what it was trained on: ``casvit_xs.tiny_imagenet_24``.
Wherever a trained network is asked for, such a name means the folder in the package. Beside the files of
a run it holds ``card.yaml``, which says what nobody can read off the weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pocketeye.models.tam.published import bundled_weights
from pocketeye.reading import make, read_yaml, reading
from pocketeye.runs import BEST, CARD, MODEL

# Beside the code and not in a cache: what comes along works without a network.
_FOLDER = Path(__file__).resolve().parents[2] / "weights"


@dataclass(frozen=True, kw_only=True, slots=True)
class BundledCard:
    """Say what one must know before using weights that come along.

    Attributes:
        summary: what the network does, in one line.
        data: what it was trained on, with the licence of each set.
        weights_license: for what the weights may be used.
        training: recipe, steps and hours of which hardware.
        scores: what was measured, on what, by which command.
        limits: where it fails.
    """

    summary: str
    data: str
    weights_license: str
    training: str
    scores: str
    limits: str

    def rows(self) -> list[tuple[str, str]]:
        """Return (label, text) of all but the summary."""
        named = {
            key.replace("weights_license", "licence"): text for key, text in asdict(self).items()
        }
        del named["summary"]
        return list(named.items())


def bundled_runs() -> list[str]:
    """Return their names, sorted."""
    return sorted(path.parent.name for path in _FOLDER.glob(f"*/{MODEL}"))


def bundled_run(name: str) -> Path | None:
    """Return the folder of one of :func:`bundled_runs`; None for any other name."""
    return _FOLDER / name if name in bundled_runs() else None


def bundled_card(folder: Path) -> BundledCard | None:
    """Read the card in a folder; None where there is none, as in the runs of users."""
    if not (folder / CARD).is_file():
        return None
    data = read_yaml(folder / CARD)
    with reading(folder / CARD, "the card of a network"):
        return make(BundledCard, data)


def weights_at(named: str | Path) -> Path:
    """Return the file of weights that somebody names: a file, a run's folder, or what comes along.

    A path that leads nowhere is returned as it is.
    """
    path = Path(named)
    if path.is_dir():
        return path / BEST if (path / BEST).is_file() else path
    if path.exists():
        return path
    folder = bundled_run(str(named))
    return (folder / BEST if folder else bundled_weights(str(named))) or path
