import io
import logging
import os
import sys
import warnings

from rich.console import Console

import pocketeye
from pocketeye.bars import LineReporter, RichReporter
from pocketeye.cli import main
from pocketeye.cli._output import narration, stdout_kept_clean
from pocketeye.progress import mark, reporting, task


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_bars_show_description_count_and_note() -> None:
    console = terminal()
    with reporting(RichReporter(console)), task("outer", 4) as outer:
        outer.advance(3)
        outer.note("loss 0.25")
        with task("inner") as inner:
            inner.advance()
    text = console.file.getvalue()
    for part in ("outer", "3/4", "loss 0.25", "inner"):
        assert part in text


def test_bars_can_be_used_twice() -> None:
    console = terminal()
    with reporting(RichReporter(console)):
        for name in ("first", "second"):
            with task(name, 1) as bar:
                bar.advance()
    assert "second" in console.file.getvalue()


def test_a_log_gets_lines_of_long_work_only(monkeypatch) -> None:
    console, now = Console(file=io.StringIO(), width=200), [0.0]
    monkeypatch.setattr("pocketeye.bars.time.monotonic", lambda: now[0])
    with reporting(LineReporter(console)), task("training [a]", 40) as bar:
        for _ in range(30):
            now[0] += 10
            bar.note("loss 0.25")
            bar.advance()
        mark("epoch 1 of 2: top-1 50 %")
    lines = console.file.getvalue().splitlines()
    # After 15 seconds, and then once a minute: 300 seconds are five lines and the epoch.
    assert len(lines) == 6
    assert lines[0] == "training [a]: 2 of 40 (5 %) · loss 0.25 · 20 s, about 6 min 20 s left"
    assert lines[-1] == "epoch 1 of 2: top-1 50 %"


def test_bars_say_no_lines() -> None:
    console = terminal()
    with reporting(RichReporter(console)):
        mark("epoch 1 of 2")
    mark("nobody listens")
    assert console.file.getvalue() == ""


def test_silent_without_a_terminal(capsys) -> None:
    logger = logging.getLogger("pocketeye.somewhere")
    with narration(debug=False), task("counting", 1) as bar:
        bar.advance()
        logger.info("not shown")
        logger.warning("shown [as it is]")
    assert capsys.readouterr().err == "warning: shown [as it is]\n"
    with narration(debug=True):
        logger.debug("details")
    assert capsys.readouterr().err == "debug: details\n"
    assert not logging.getLogger("pocketeye").handlers


def test_our_warnings_are_lines_without_a_place(capsys) -> None:
    others = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        before = warnings.showwarning = lambda message, *_, **__: others.append(str(message))
        with narration(debug=False):
            warnings.warn_explicit("of other weights", UserWarning, pocketeye.__file__, 3)
            warnings.warn_explicit("of theirs", UserWarning, "/somewhere/else.py", 3)
        assert warnings.showwarning is before
    assert capsys.readouterr().err == "warning: of other weights\n"
    assert others == ["of theirs"]


def test_descriptor_1_is_turned_round(capfd) -> None:
    with stdout_kept_clean():
        os.write(1, b"from C\n")
        sys.stdout.write("from Python\n")
    os.write(1, b"result\n")
    captured = capfd.readouterr()
    assert captured.out == "result\n"
    assert set(captured.err.splitlines()) == {"from C", "from Python"}


def test_list_goes_to_stdout_only(capsys) -> None:
    assert main(["list", "fbnet_96*"]) == 0
    captured = capsys.readouterr()
    assert "fbnet_96_035_1" in captured.out
    assert captured.err == ""
