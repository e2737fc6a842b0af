"""The demo, end to end on its photographs with the real runtime: smaller, in minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.verbs.demo.report import _sentence
from pocketeye.verbs.demo.result import _activation
from pocketeye.verbs.demo.verb import demo


def test_a_demo_is_not_overwritten_silently(tmp_path: Path) -> None:
    (tmp_path / "device.latency.json").write_text("{}")
    with pytest.raises(InvalidValue, match="holds a demo already"):
        demo(out=tmp_path)


def test_lines_become_a_sentence() -> None:
    assert _sentence(["[bold]two[/bold] parts", "one sentence"]) == "Two parts; one sentence."


def test_the_environment_is_named_where_the_command_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my venv" / "bin").mkdir(parents=True)
    (tmp_path / "my venv" / "bin" / "activate").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path / "my venv"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _activation() == ["source 'my venv/bin/activate'"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert _activation() == [f"source '{tmp_path}/my venv/bin/activate'"]
    command = tmp_path / "pocketeye"
    command.touch(mode=0o755)
    assert _activation() == []


@pytest.mark.slow
def test_from_the_machine_to_a_proven_file(tmp_path: Path) -> None:
    result = demo(out=tmp_path, epochs=4, train_epochs=3)
    best = result.searched.best
    assert best.measured_ms is not None
    assert best.measured_ms <= 1.02 * result.searched.target_ms
    assert result.exported.parity.status == "PASS"
    assert result.evaluated.result.report.top1 > 0.5
    page = result.report.read_text(encoding="utf-8")
    assert f"{best.measured_ms:.3g} ms" in page
    assert page.count("data:image/png;base64,") == 5
    assert page.count("data:video/mp4;base64,") == 1
    assert result.to_dict()["track"]["model"] == "pocketeye_tam_nano"
    assert f"{result.tracked.mean_iou:.2f}" in page
    assert "guessing: 3" in page
    commands = result.next_commands()
    assert any("--epochs 4 --train-epochs 3" in command for command in commands)
    assert all(command.startswith(("pocketeye ", "source ")) for command in commands)
