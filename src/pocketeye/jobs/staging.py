"""Bring a video from storage into a folder here, and what was made of it there, when it is whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pocketeye.errors import InvalidValue
from pocketeye.jobs.record import TrackRecord
from pocketeye.jobs.storage import Stored, address_of
from pocketeye.jobs.targets import is_taken_here
from pocketeye.jobs.videos import NamedVideo
from pocketeye.outputs import scratch_folder

_STATE = re.compile(r"state-.*")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Hold where a video and its outputs are while it is tracked.

    Attributes:
        video: with a source and prompts that are here; the source once it was fetched.
        said: the video as the user named it.
        targets: paths here, one for each output.
        named: what the user calls them.
        storage_s: seconds in which storage must move.
    """

    video: NamedVideo
    said: NamedVideo
    targets: Sequence[Path]
    named: Sequence[Path]
    storage_s: float

    @property
    def record(self) -> TrackRecord:
        return TrackRecord.beside(self.targets[0])

    @property
    def num_bytes(self) -> int | None:
        """Return the size of the video's file; None of anything but a file."""
        stored = self._source
        return self.said.num_bytes if stored is None else stored.num_bytes()

    def fetch_video(self) -> None:
        """Bring the video here, if it is not yet.

        Raises:
            UserError: it cannot be fetched.
        """
        stored = self._source
        if stored is not None and not Path(self.video.source).exists():
            stored.fetch(Path(self.video.source))

    @property
    def _source(self) -> Stored | None:
        source = self.said.source  # frames in memory are no address
        address = address_of(source) if isinstance(source, str | Path) else None
        return None if address is None else Stored(address, self.storage_s)

    def fetch_stretches(self, folder: Path, *, whole: bool) -> None:
        """Bring what was kept of a long video: of results the names alone unless ``whole``."""
        place = self._stored(folder)
        if place is None:
            return
        for name in place.names():
            target = folder / Path(name).name
            if whole or _STATE.fullmatch(name):
                (place / name).fetch(target)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                target.touch()

    def send_stretch(self, folder: Path) -> None:
        """Send what is new of the stretches."""
        place = self._stored(folder)
        if place is None:
            return
        self._send(self.record.path)
        there = place.names()
        # The state comes last, as it does here.
        for path in sorted(folder.iterdir(), key=lambda path: path.name):
            if path.name not in there and path.stat().st_size:
                (place / path.name).send(path)
        kept = {path.name for path in folder.iterdir()}
        for name in there:
            if name not in kept:
                (place / name).remove()

    def clear_stretches(self, folder: Path) -> None:
        """Remove what was kept of a long video."""
        shutil.rmtree(folder, ignore_errors=True)
        place = self._stored(folder)
        if place is not None:
            place.remove()

    def send(self) -> None:
        """Send the outputs, and the record when all of them are there."""
        for number, (local, named) in enumerate(zip(self.targets, self.named, strict=True)):
            if local == named:
                continue
            for path in sorted(local.parent.iterdir()):
                hidden = path.name.startswith(".")  # stretches, locks
                if not hidden and not (number == 0 and path == self.record.path):
                    self._send(path)
        self._send(self.record.path)

    def _send(self, path: Path) -> None:
        place = self._stored(path)
        if place is not None:
            place.send(path)

    def _stored(self, path: Path) -> Stored | None:
        """Return the place in storage of what lies beside an output here; None where it stays here."""
        for local, named in zip(self.targets, self.named, strict=True):
            address = address_of(named)
            if address is not None and path.parent == local.parent:
                return Stored(address, self.storage_s).parent / path.name
        return None


@contextmanager
def staged(video: NamedVideo, targets: Sequence[Path], storage_s: float) -> Iterator[Stage]:
    """Yield where a video and its outputs are here; in a folder that goes at the end, if need be.

    Its prompts are fetched now, the video itself by :meth:`Stage.fetch_video`.

    Raises:
        UserError: the prompts cannot be fetched.
    """
    names = [video.source, video.prompts, *targets]
    if not any(isinstance(name, str | Path) and address_of(name) for name in names):
        yield Stage(
            video=video, said=video, targets=targets, named=targets, storage_s=storage_s
        )  # fmt: skip
        return
    with scratch_folder() as folder:
        local = [
            path if address_of(path) is None else folder / "out" / str(number) / path.name
            for number, path in enumerate(targets)
        ]
        for path in local:
            if path.is_relative_to(folder):
                path.parent.mkdir(parents=True)
        here = video
        if video.prompts is not None and (address := address_of(video.prompts)) is not None:
            here = replace(here, prompts=folder / "prompts" / video.prompts.name)
            Stored(address, storage_s).fetch(folder / "prompts" / video.prompts.name)
        if isinstance(video.source, str | Path) and address_of(video.source) is not None:
            here = replace(here, source=str(folder / "video" / Path(video.source).name))
        yield Stage(video=here, said=video, targets=local, named=targets, storage_s=storage_s)


def is_taken(path: Path, storage_s: float) -> bool:
    """Tell whether an output is there, here or in storage; an empty folder is as good as none."""
    address = address_of(path)
    if address is not None:
        return Stored(address, storage_s).exists()
    return is_taken_here(path)


@contextmanager
def record_of(path: Path, storage_s: float) -> Iterator[TrackRecord]:
    """Yield the record beside an output, brought here if it lies in storage.

    Raises:
        UserError: storage cannot be reached; what the block raises names the record as the user does.
    """
    record = TrackRecord.beside(path)
    address = address_of(record.path)
    if address is None:
        yield record
        return
    with scratch_folder() as folder:
        stored, local = Stored(address, storage_s), folder / record.path.name
        if stored.exists():
            stored.fetch(local)
        try:
            yield TrackRecord(local)
        except InvalidValue as error:
            raise InvalidValue(str(error).replace(str(local), address)) from error
