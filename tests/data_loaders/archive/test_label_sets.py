"""Label sets come in as they are published; scores are cut by the stated rule and contradictions counted."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embargo.data_loaders.archive.label_sets import cut_scores, read_label_set
from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError

CUTOFF = pd.Timestamp("2014-06-30", tz="UTC")

ROWS = [
    ("Profit rose , Seppälä said", "positive"),
    ("Sales fell", "negative"),
    ("Sales fell !", "negative"),
    ("Mixed @ best", "neutral"),
    ("Torn", "neutral"),
    ("torn .", "positive"),
]


def classes(path: Path, **request: Any) -> dict[str, int]:
    frame = read_label_set(path, knowledge_cutoff=CUTOFF, **request).frame
    return dict(zip(frame["text"], frame["label"], strict=True))


def lines(rows: list[tuple[str, str]]) -> bytes:
    return ("\r\n".join(f"{text}@{label}" for text, label in rows) + "\r\n").encode("latin-1")


def written(folder: Path, kind: str) -> Path:
    path = folder / f"set.{kind}"
    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    match kind:
        case "txt":
            path.write_bytes(lines(ROWS))
        case "csv" | "csv.gz":
            frame.to_csv(path, index=False)
        case "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
        case _:
            frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["txt", "csv", "csv.gz", "jsonl", "parquet"])
def test_every_format_gives_the_same_samples(tmp_path: Path, kind: str) -> None:
    result = read_label_set(written(tmp_path, kind), knowledge_cutoff=CUTOFF)
    assert result.counts["conflicting_texts"] == 2
    assert result.counts["repeated_articles"] == 1
    by_text = dict(zip(result.frame["text"], result.frame["label"], strict=True))
    assert by_text == {"Profit rose , Seppälä said": 2, "Sales fell": 0, "Mixed @ best": 1}
    for name in ("known_at", "starts_at", "ends_at"):
        assert (result.frame[name] == CUTOFF).all()
    assert result.frame["article_id"].is_unique


def test_filters_and_dated_sets(tmp_path: Path) -> None:
    path = tmp_path / "dated.csv"
    path.write_text(
        "text,label,when,votes\nup,positive,2020-01-01T09:00:00+01:00,3\ndown,negative,2020-01-02T09:00Z,1\n"
    )
    result = read_label_set(path, published_at="when", filters={"votes": {"min": 2}}, mapping={"positive": "bullish"})
    assert result.frame["known_at"].tolist() == [pd.Timestamp("2020-01-01 08:00", tz="UTC")]
    assert result.counts["filtered:votes"] == 1


def test_label_sets_without_a_time_or_with_faults_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "txt")
    with pytest.raises(ConfigError, match="give either knowledge_cutoff"):
        read_label_set(path)
    with pytest.raises(ConfigError, match="no time zone"):
        read_label_set(path, knowledge_cutoff=pd.Timestamp("2014-01-01"))
    with pytest.raises(MissingPartError, match=r"nowhere\.csv"):
        read_label_set(tmp_path / "nowhere.csv", knowledge_cutoff=CUTOFF)
    path.write_text("fine@neutral\nno label here\n")
    with pytest.raises(DataError, match="line 2"):
        read_label_set(path, knowledge_cutoff=CUTOFF)
    blank = tmp_path / "blank.csv"
    blank.write_text("text,label\n  ,neutral\n")
    with pytest.raises(DataError, match="1 texts are blank"):
        read_label_set(blank, knowledge_cutoff=CUTOFF)


@pytest.mark.parametrize("packed", [False, True])
def test_the_phrasebank_s_files_contain_one_another_so_one_is_chosen(tmp_path: Path, packed: bool) -> None:
    files = {
        "License.txt": b"Free as in rain",
        "Sentences_50Agree.txt": lines(ROWS),
        "Sentences_AllAgree.txt": lines(ROWS[:2]),
    }
    folder = tmp_path / "PhraseBank"
    folder.mkdir()
    path = tmp_path / "PhraseBank.zip" if packed else folder
    with zipfile.ZipFile(tmp_path / "PhraseBank.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"PhraseBank/{name}", content)
            (folder / name).write_bytes(content)
    assert classes(path, agreement=100) == {"Profit rose , Seppälä said": 2, "Sales fell": 0}
    assert len(classes(path, agreement=50)) == 3
    with pytest.raises(ConfigError, match=r"3 files.*choose with agreement = \[50, 66, 75, 100\]"):
        classes(path)
    with pytest.raises(DataError, match=r"no file of agreement 66; there are \['50', 'all'\]"):
        classes(path, agreement=66)
    with pytest.raises(ConfigError, match="agreement = 60 is unknown"):
        classes(path, agreement=60)
    assert len(classes(folder / "Sentences_AllAgree.txt", agreement=100)) == 2
    with pytest.raises(DataError, match="no file of agreement 50"):
        classes(folder / "Sentences_AllAgree.txt", agreement=50)


def target(score: object, **rest: object) -> dict[str, object]:
    return {"snippets": "['x']", "target": "Acme", "sentiment_score": score, "aspects": "['Corporate/Sales']"} | rest


FIQA = {
    "1": {"sentence": "Acme doubles its dividend", "info": [target("0.62")]},
    "2": {"sentence": "Acme up while Bolt sinks", "info": [target("0.4"), target("-0.5", target="Bolt")]},
    "7": {"sentence": "Both slip", "info": [target("-0.2"), target("-0.311", target="Bolt")]},
    "9": {"sentence": "Nothing new", "info": [target("0.099")]},
    "11": {"sentence": "Just enough", "info": [target("0.1")]},
    "12": {"sentence": "Not quite", "info": [target(-0.1)]},
}


def test_fiqa_is_cut_at_the_threshold_and_split_verdicts_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "task1_headline_ABSA_train.json"
    path.write_text(json.dumps(FIQA))
    result = read_label_set(path, knowledge_cutoff=CUTOFF)
    assert dict(zip(result.frame["text"], result.frame["label"], strict=True)) == {
        "Acme doubles its dividend": 2,
        "Both slip": 0,
        "Nothing new": 1,
        "Just enough": 2,
        "Not quite": 1,
    }
    expected = {
        "rows": 8,
        "conflicting_targets": 1,
        "rows_with_conflicting_targets": 2,
        "further_targets": 1,
        "samples": 5,
    }
    assert {name: result.counts[name] for name in expected} == expected
    assert classes(path, threshold=0.45)["Both slip"] == 1


def test_fiqa_headlines_and_posts_come_from_one_folder(tmp_path: Path) -> None:
    (tmp_path / "task1_headline_ABSA_train.json").write_text(json.dumps({"1": FIQA["1"]}))
    (tmp_path / "task1_post_ABSA_train.json").write_text(json.dumps({"1": FIQA["7"]}))
    assert classes(tmp_path, format="fiqa") == {"Acme doubles its dividend": 2, "Both slip": 0}


def test_semeval_headlines(tmp_path: Path) -> None:
    path = tmp_path / "Headline_Trainingdata.json"
    entries = [
        {"id": 2, "company": "Acme", "title": "Acme sells more anvils", "sentiment": 0.43},
        {"id": 3, "company": "Acme", "title": "Bolt outdoes Acme", "sentiment": -0.5},
        {"id": 4, "company": "Bolt", "title": "Bolt outdoes Acme", "sentiment": 0.5},
        {"id": 5, "company": "Bolt", "title": "Bolt meets shareholders", "sentiment": 0},
    ]
    path.write_text(json.dumps(entries), encoding="utf-8-sig")
    assert classes(path) == {"Acme sells more anvils": 2, "Bolt meets shareholders": 1}


def test_semeval_microblogs_are_read_by_their_spans_unless_the_text_was_added(tmp_path: Path) -> None:
    path = tmp_path / "Microblog_Trainingdata.json"
    post = {"source": "stocktwits", "cashtag": "$ACME", "id": "719"}
    entries = [
        post | {"sentiment score": "0.366", "spans": ["bounce tomorrow ", "buying"]},
        post | {"sentiment score": "-0.6", "spans": "going down"},
        post | {"sentiment score": "-0.4", "spans": ["short"], "text": "I am short here"},
        post | {"sentiment score": "-0.4", "spans": [""]},
    ]
    path.write_text(json.dumps(entries))
    result = read_label_set(path, knowledge_cutoff=CUTOFF)
    assert dict(zip(result.frame["text"], result.frame["label"], strict=True)) == {
        "bounce tomorrow buying": 2,
        "going down": 0,
        "I am short here": 0,
    }
    assert result.counts["without_text"] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_twitter_set_counts_its_classes_in_its_own_order(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"sent_train.{kind}"
    frame = pd.DataFrame({"text": ["$ACME cut to sell", "$ACME beats", "$ACME opens at 9"], "label": [0, 1, 2]})
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    assert classes(path, format="twitter") == {"$ACME cut to sell": 0, "$ACME beats": 2, "$ACME opens at 9": 1}
    with pytest.raises(ConfigError, match="sets number their classes differently"):
        classes(path)
    own = {"0": "bearish", "1": "neutral", "2": "bullish"}
    if kind == "csv":
        assert classes(path, mapping=own)["$ACME beats"] == 1
    frame.assign(label=[0, 1, 3]).to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(DataError, match="label '3' at row 3"):
        classes(tmp_path / "odd.csv", format="twitter")


@pytest.mark.parametrize(
    ("content", "format_", "complaint"),
    [
        ({"1": {"sentence": "x", "info": [target("1.2")]}}, "auto", r"entry 1: score '1.2' is outside \[-1, 1\]"),
        ({"1": {"sentence": "x", "info": [target("good")]}}, "auto", "'good' is no number"),
        ({"1": {"sentence": "x", "info": [{"target": "Acme"}]}}, "auto", "without 'sentiment_score'"),
        ([{"title": "x", "sentiment": None}], "auto", "entry 1: no score"),
        ([{"headline": "x"}], "auto", "of no known set"),
        ({"1": "x"}, "fiqa", "expected an object of entries"),
        (FIQA, "semeval", "expected a list of entries"),
    ],
)
def test_json_that_is_not_what_it_should_be_is_named(
    tmp_path: Path, content: object, format_: Any, complaint: str
) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=complaint):
        classes(path, format=format_)


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"format": "imdb"}, "format 'imdb' is unknown"),
        ({"agreement": 75}, "agreement belongs to the PhraseBank"),
        ({"filters": {"x": 1}}, "no columns to filter by"),
        ({"mapping": {"a": "bullish"}}, "the classes of 'fiqa' are fixed"),
        ({"threshold": 0.0}, "threshold must lie between 0 and 1"),
    ],
)
def test_settings_that_do_not_belong_are_refused(tmp_path: Path, request_: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(FIQA))
    with pytest.raises(ConfigError, match=complaint):
        classes(path, **request_)
    with pytest.raises(ConfigError, match="carries no dates"):
        read_label_set(path, published_at="when")


@given(st.lists(st.floats(-1, 1), min_size=1), st.floats(0.01, 0.99))
def test_higher_scores_never_get_a_lower_class(scores: list[float], threshold: float) -> None:
    ordered = pd.Series(sorted(scores))
    rank = cut_scores(ordered, threshold).map({"bearish": 0, "neutral": 1, "bullish": 2})
    assert rank.is_monotonic_increasing
    assert ((rank == 1) == (ordered >= -threshold) & (ordered < threshold)).all()


def test_a_sentence_may_hold_any_sign_of_its_encoding(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_bytes(b"Profit rose\x85 said A@positive\r\nSales fell\x1c@negative\r\n")
    assert classes(tmp_path / "set.txt") == {"Profit rose\x85 said A": 2, "Sales fell": 0}


@pytest.mark.parametrize("content", ['{"1": {"sentence": "a", "info": [5]}}', "[" * 100_000])
def test_json_of_no_set_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(DataError):
        classes(tmp_path / "set.json")


def test_a_twitter_label_between_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text('{"text": "a", "label": 0.5}\n')
    with pytest.raises(DataError, match=r"label .*0\.5.* at row 1"):
        classes(tmp_path / "set.jsonl", format="twitter")


def test_a_table_of_scores_is_cut_into_classes_if_that_is_said(tmp_path: Path) -> None:
    table = pd.DataFrame({"sentence": ["up", "down", "flat", " "], "score": [0.5, -0.4, 0.01, 0.2]})
    table.to_parquet(tmp_path / "fiqa.parquet")
    at = pd.Timestamp("2020-01-01", tz="UTC")
    with pytest.raises(ConfigError, match=r"the labels are scores such as .*Choose format = 'scores'"):
        read_label_set(tmp_path / "fiqa.parquet", text="sentence", label="score", knowledge_cutoff=at)
    read = read_label_set(
        tmp_path / "fiqa.parquet", format="scores", text="sentence", label="score", knowledge_cutoff=at
    )
    assert dict(zip(read.frame["text"], read.frame["label"], strict=True)) == {"up": 2, "down": 0, "flat": 1}
    assert (read.counts["rows"], read.counts["without_text"]) == (4, 1)
    table.assign(score=3.0).to_parquet(tmp_path / "fiqa.parquet")
    with pytest.raises(DataError, match=r"outside \[-1, 1\]"):
        read_label_set(tmp_path / "fiqa.parquet", format="scores", text="sentence", label="score", knowledge_cutoff=at)
