"""A file of scores gives one answer per article, the same in every format, or an error that names the article."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.archive import read_scores
from embargo.data_loaders.archive.score_files import CUTOFF_KEY, LOGITS, SUM_TOLERANCE
from embargo.data_loaders.errors import ConfigError, DataError, LeakError, MissingPartError
from embargo.data_loaders.fields import CLASSES

UNTIL = pd.Timestamp("2019-12-31", tz="UTC")
ROW = {"article_id": "a", "bearish": 0.1, "neutral": 0.2, "bullish": 0.7}
OTHER = {"article_id": "b", "bearish": 0.6, "neutral": 0.3, "bullish": 0.1}


def written(folder: Path, *rows: dict[str, object], form: str = "parquet") -> Path:
    file, frame = folder / f"scores.{form}", pd.DataFrame(rows)
    if form == "parquet":
        frame.to_parquet(file)
    elif form == "csv":
        frame.to_csv(file, index=False)
    else:
        file.write_text("\n".join(json.dumps(row) for row in rows))
    return file


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_every_format_gives_the_same_scores(tmp_path: Path, form: str) -> None:
    found = read_scores(written(tmp_path, ROW, OTHER, ROW, form=form), knowledge_cutoff=UNTIL)
    assert found.frame.loc["a"].tolist() == [0.1, 0.2, 0.7]
    assert found.frame.loc["b"].tolist() == [0.6, 0.3, 0.1]
    assert found.counts == {"rows": 3, "blank": 0, "repeated_rows": 1, "articles": 2}
    assert not found.has_logits


def test_ids_stay_as_they_are_written(tmp_path: Path) -> None:
    file = written(tmp_path, {**ROW, "article_id": "007"}, {**OTHER, "article_id": "7"}, form="csv")
    assert read_scores(file, knowledge_cutoff=UNTIL).frame.index.tolist() == ["007", "7"]
    file = written(tmp_path, {**ROW, "article_id": 7})
    assert read_scores(file, knowledge_cutoff=UNTIL).frame.index.tolist() == ["7"]


def test_logits_go_before_probabilities(tmp_path: Path) -> None:
    logits = dict(zip(LOGITS, (-1e-300, 0.1 + 0.2, 30.0), strict=True))
    found = read_scores(written(tmp_path, ROW | logits), knowledge_cutoff=UNTIL)
    assert found.has_logits
    assert found.frame.loc["a"].tolist() == list(logits.values()), "to the last bit"
    bare = {"article_id": "a", **logits}
    assert read_scores(written(tmp_path, bare), knowledge_cutoff=UNTIL).has_logits


def test_columns_are_mapped_and_count_into_the_source(tmp_path: Path) -> None:
    file = written(tmp_path, {"id": "a", "x": 0.1, "y": 0.2, "z": 0.7})
    names = {"article_id": "id", "bearish": "x", "neutral": "y", "bullish": "z"}
    one = read_scores(file, knowledge_cutoff=UNTIL, columns=names)
    turned = read_scores(file, knowledge_cutoff=UNTIL, columns=names | {"bearish": "z", "bullish": "x"})
    assert one.frame.loc["a"].tolist() == turned.frame.loc["a"].tolist()[::-1]
    assert one.source != turned.source
    with pytest.raises(ConfigError, match="maps \\['bulish'\\]"):
        read_scores(file, knowledge_cutoff=UNTIL, columns={"bulish": "z"})


def test_a_column_serves_one_class(tmp_path: Path) -> None:
    file = written(tmp_path, {"article_id": "a", "bearish": 0.3, "bullish": 0.7})
    with pytest.raises(ConfigError, match=r"takes 'bearish' for bearish and for neutral\. Three classes are needed"):
        read_scores(file, knowledge_cutoff=UNTIL, columns={"neutral": "bearish"})


def test_a_fault_names_the_whole_path_and_few_digits(tmp_path: Path) -> None:
    row = {**OTHER, "bearish": 1 / 3, "neutral": 1 / 3, "bullish": 2 / 3}
    with pytest.raises(DataError) as caught:
        read_scores(written(tmp_path, ROW, row), knowledge_cutoff=UNTIL)
    assert str(tmp_path / "scores.parquet") in str(caught.value)
    assert "[0.3333, 0.3333, 0.6667]" in str(caught.value)
    close = {**ROW, "bearish": 0.1000001, "neutral": 0.1999999}
    with pytest.raises(DataError, match=r"\[0\.1, 0\.2, 0\.7\] and \[0\.1000001, 0\.1999999, 0\.7\]"):
        read_scores(written(tmp_path, ROW, close), knowledge_cutoff=UNTIL)


def test_rows_without_probabilities_are_no_answer(tmp_path: Path) -> None:
    blank = dict.fromkeys(CLASSES, None)
    found = read_scores(written(tmp_path, ROW, {"article_id": "b", **blank}), knowledge_cutoff=UNTIL)
    assert found.frame.index.tolist() == ["a"]
    assert found.counts["blank"] == 1
    with pytest.raises(DataError, match="its one row has no probabilities"):
        read_scores(written(tmp_path, {"article_id": "b", **dict.fromkeys(CLASSES, np.nan)}), knowledge_cutoff=UNTIL)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({**OTHER, "bullish": None}, "'b' is not three finite numbers"),
        ({**OTHER, "bullish": np.inf}, "'b' is not three finite numbers"),
        ({**OTHER, "bearish": 60.0, "neutral": 30.0, "bullish": 10.0}, "'b' lies outside 0 to 1.*percentages"),
        ({**OTHER, "bearish": -0.1, "neutral": 1.0}, "'b' lies outside 0 to 1"),
        ({**OTHER, "bearish": 0.61}, "'b' does not sum to 1"),
        ({**OTHER, "article_id": " "}, "1 row has no article_id, first row 2"),
        ({**OTHER, "article_id": "a"}, "'a' stands there with different scores"),
    ],
)
def test_a_row_that_is_no_score_is_named(tmp_path: Path, row: dict[str, object], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        read_scores(written(tmp_path, ROW, row), knowledge_cutoff=UNTIL)


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing columns \\['neutral'\\]"):
        read_scores(written(tmp_path, {"article_id": "a", "bearish": 0.5, "bullish": 0.5}), knowledge_cutoff=UNTIL)
    with pytest.raises(DataError, match="bearish_logit and no neutral_logit"):
        read_scores(written(tmp_path, ROW | {"bearish_logit": 1.0}), knowledge_cutoff=UNTIL)
    with pytest.raises(DataError, match="'high' is no number"):
        read_scores(written(tmp_path, ROW | {"bullish": "high"}, form="csv"), knowledge_cutoff=UNTIL)
    with pytest.raises(MissingPartError):
        read_scores(tmp_path / "absent.parquet", knowledge_cutoff=UNTIL)


def test_a_file_that_knows_more_than_is_stated_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    table = pa.Table.from_pandas(pd.DataFrame([ROW]))
    pq.write_table(table.replace_schema_metadata({CUTOFF_KEY: b'"2020-01-01T00:00:00+00:00"'}), file)
    with pytest.raises(LeakError, match="knows until 2020-01-01"):
        read_scores(file, knowledge_cutoff=UNTIL)
    assert len(read_scores(file, knowledge_cutoff=pd.Timestamp("2020-01-01", tz="UTC")).frame) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.floats(1e-6, 1.0)] * 3), min_size=1, max_size=6), st.integers(3, 9))
def test_rounded_probabilities_pass_and_wrong_ones_do_not(
    tmp_path_factory: pytest.TempPathFactory, weights: list[tuple[float, ...]], digits: int
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    values = np.round(np.array(weights) / np.sum(weights, axis=1, keepdims=True), digits)
    frame = pd.DataFrame(values, columns=list(CLASSES)).assign(article_id=[f"n{row}" for row in range(len(values))])
    frame.to_parquet(folder / "scores.parquet")
    found = read_scores(folder / "scores.parquet", knowledge_cutoff=UNTIL)
    np.testing.assert_array_equal(found.frame.to_numpy(), values)
    frame.loc[0, "neutral"] += 2.1 * SUM_TOLERANCE
    frame.to_parquet(folder / "scores.parquet")
    with pytest.raises(DataError, match="'n0'"):
        read_scores(folder / "scores.parquet", knowledge_cutoff=UNTIL)
