"""How results look as values, in notebooks and in pandas."""

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pocketeye.errors import MissingExtra
from pocketeye.predicting.predict import Prediction
from pocketeye.results import LabelMap, Masks, Result
from pocketeye.text import Shown, html_table, plain_text
from pocketeye.verbs.predict.classify import PredictResult


def result() -> Result:
    masks = np.zeros((2, 8, 12), bool)
    masks[0, 1:3, 2:6] = masks[1, 4:8, 0:2] = True
    image = np.full((8, 12, 3), 90, np.uint8)
    return Result(size=(12, 8), masks=Masks.from_dense(masks), scores=[0.5, 0.25], image=image)


def test_a_repr_is_one_short_line_without_pixels() -> None:
    text = repr(result())
    assert text.startswith("Result(size=(12, 8), masks=<2>, boxes=float32[2, 4]")
    assert "uint8[8, 12, 3]" in text
    assert len(text) < 200
    labels = LabelMap(labels=np.zeros((4, 4), int), classes=["road", "sky"])
    assert repr(labels) == "LabelMap(labels=int64[4, 4], classes=<2>)"


def test_rows_and_html() -> None:
    found = result()
    assert found.rows() == found.table()
    assert found._repr_html_().startswith('<img src="data:image/jpeg;base64,')
    assert "<th>score</th>" in found._repr_html_()
    labels = LabelMap(labels=np.array([[0, 0], [0, 1]]), classes=["road", "<sky>"])
    assert labels.rows() == [{"class": "road", "share": 0.75}, {"class": "<sky>", "share": 0.25}]
    assert labels._repr_html_().startswith("<table>")
    assert "&lt;sky&gt;" in labels._repr_html_()
    assert html_table([]) == "<p>nothing</p>"
    assert html_table([{"a": 1}] * 60).endswith("<p>… and 10 more</p>")


def test_pandas_where_it_is_installed(monkeypatch) -> None:
    module = ModuleType("pandas")
    module.DataFrame = lambda rows: ("frame", rows)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", module)
    found = result()
    assert found.to_pandas() == ("frame", found.rows())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r'pip install "pocketeye\[pandas\]"'):
        found.to_pandas()


def test_the_result_of_a_verb() -> None:
    rows = tuple(
        Prediction(name=f"[{n}].png", classes=("cat", "dog"), probabilities=(0.75, 0.25))
        for n in range(2)
    )
    shown = PredictResult(model="fbnet_c", predictions=rows, problems=(), files=(Path("a.csv"),))
    assert repr(shown).startswith("PredictResult(model='fbnet_c', predictions=<2>, ")
    assert "[bold]" not in str(shown)
    assert "[0].png" in str(shown)
    assert shown.rows()[1] == {"path": "[0].png", "class": "dog", "probability": 0.25}
    assert shown._repr_html_().count("<tr>") == 5
    assert plain_text(["[bold]a[/bold] \\[b]"]) == "a [b]"


def test_a_class_may_have_a_repr_of_its_own() -> None:
    @dataclass(frozen=True)
    class Own(Shown):
        def __repr__(self) -> str:
            return "mine"

    assert repr(Own()) == "mine"
