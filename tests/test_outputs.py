"""What is written is whole or not there: files, folders, locks, and what killed processes leave."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from pocketeye import outputs
from pocketeye.errors import InvalidValue
from pocketeye.outputs import (
    Lock,
    clean_partials,
    held,
    require_folder,
    scratch_folder,
    whole_folder,
    write_whole,
)
from pocketeye.runs import make_folder, write_atomic
from tests.conftest import largest_file


def killed_while(path: Path, leave: str) -> None:
    """Let a process hold ``path``, write a file named ``leave`` beside it, and be killed."""
    child = os.fork()
    if child == 0:
        lock = Lock(path)
        path.with_name(leave).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
        lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


def test_a_full_disk_leaves_the_old_file_and_says_where(tmp_path: Path) -> None:
    path = write_atomic(tmp_path / "a.json", "old")
    with largest_file(100), pytest.raises(InvalidValue) as said:
        write_atomic(path, "x" * 1000)
    assert "a.json" in str(said.value)
    assert f"disk of {tmp_path} is full" in str(said.value)
    assert "what was there before is unchanged" in str(said.value)
    assert path.read_text() == "old"
    with largest_file(100), pytest.raises(InvalidValue) as said:
        write_atomic(tmp_path / "new", "x" * 1000)
    assert "unchanged" not in str(said.value), "nothing was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for make in (require_folder, make_folder):
        with pytest.raises(InvalidValue, match=r"cannot make the folder .*deep: .*file is a file"):
            make(tmp_path / "file" / "deep")
    with pytest.raises(InvalidValue, match=r"cannot write .*a\.txt: there is no folder .*gone"):
        write_atomic(tmp_path / "gone" / "a.txt", "x")
    with pytest.raises(InvalidValue, match=r"cannot write .*a\.txt: .*file is a file"):
        write_atomic(tmp_path / "file" / "a.txt", "x")


def test_a_name_that_is_no_unicode_is_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    path = write_atomic(tmp_path / "a.json", json.dumps([name, "ü"], ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == [name, "ü"]


def test_what_a_killed_writer_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("much longer than what is written now")
    (tmp_path / ".b.partial").write_text("half")
    write_whole(tmp_path / "a", b"short")
    assert (tmp_path / "a").read_text() == "short"
    assert clean_partials(tmp_path) == [tmp_path / ".b.partial"]
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("name", ["folder", "file.mp4"])
def test_one_output_has_one_writer(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    with held(path):
        with pytest.raises(InvalidValue, match=f"{name} is being written by another process"):
            Lock(path)
        with held(tmp_path / "another"):
            pass
    with held(path):
        pass
    assert not list(tmp_path.glob(".*"))


def test_a_writer_that_may_wait_gets_its_turn(tmp_path: Path) -> None:
    turns: list[str] = []

    def second() -> None:
        with held(tmp_path / "eval.json", wait=True):
            turns.append("second")

    waiting = threading.Thread(target=second)
    with held(tmp_path / "eval.json"):
        waiting.start()
        waiting.join(0.1)
        turns.append("first")
    waiting.join()
    assert turns == ["first", "second"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["folder", "file.mp4"])
def test_a_lock_dies_with_its_process(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    killed_while(path, ".x.partial")
    with held(path):
        assert clean_partials(tmp_path) == [tmp_path / ".x.partial"]
    assert not list(tmp_path.glob(".*"))


def old_result(folder: Path) -> None:
    folder.mkdir()
    for name in ("artifact.json", "model.onnx", "eval.json", "mine.txt"):
        (folder / name).write_text("old")


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_folder_changes_at_once_and_keeps_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    old_result(folder)
    before = contents(folder)
    with whole_folder(folder, "artifact.json", ["eval.json"]) as staging:
        (staging / "artifact.json").write_text("new")
        (staging / "model.onnx").write_text("new")
        assert contents(folder) == before
        with pytest.raises(InvalidValue, match="another process"):
            Lock(folder)
    assert contents(folder) == {"artifact.json": "new", "model.onnx": "new", "mine.txt": "old"}
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_a_folder_as_it_was(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "out"
    if there:
        old_result(folder)
    before = contents(folder) if there else {}

    def fail() -> None:
        with whole_folder(folder, "artifact.json") as staging:
            (staging / "model.onnx").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert folder.exists() == there
    assert (contents(folder) if there else {}) == before


@pytest.mark.parametrize("moved", [0, 1])
def test_wherever_it_is_killed_the_old_and_the_new_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    folder = tmp_path / "out"
    old_result(folder)
    replace, count = Path.replace, []

    def killed(self: Path, target: Path) -> Path:
        if len(count) == moved:
            raise KeyboardInterrupt
        count.append(target)
        return replace(self, target)

    def publish() -> None:
        with whole_folder(folder, "artifact.json") as staging:
            for name in ("artifact.json", "model.onnx"):
                (staging / name).write_text("new")
            monkeypatch.setattr(Path, "replace", killed)

    with pytest.raises(KeyboardInterrupt):
        publish()
    assert "artifact.json" not in contents(folder), "without it nobody takes it for a result"
    assert "old" not in (contents(folder).get("model.onnx", ""),)


def test_temporary_folders_of_killed_processes_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs.tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "pocketeye-left"
    (left / "deep").mkdir(parents=True)
    (left / ".pocketeye-scratch").touch()
    (tmp_path / "pocketeye-results").mkdir()
    with scratch_folder() as first:
        assert not left.exists()
        with scratch_folder() as second:
            assert first.is_dir(), "it is in use"
            assert first != second
    assert [path.name for path in tmp_path.iterdir()] == ["pocketeye-results"], "a user's own"
