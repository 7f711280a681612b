"""Delta tables say of every version what the store says of it, with its commit."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable
from samples.loopback_commands import embargo

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.store import Store, export_delta

NOW = pd.Timestamp("2024-06-03", tz="UTC").as_unit("us")
PUBLISHED = pd.Timestamp("2020-03-05 14:00", tz="UTC").as_unit("us")


def story(text: str, **further: object) -> pd.DataFrame:
    row = {"article_id": "1", "symbol": "AAA", "text": text, "published_at": PUBLISHED, "source": "wire"}
    return pd.DataFrame([row | further])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    store.append("news", story("first"), source="a", committed_at=NOW)
    likes = pd.Series([2**63 + 5], dtype="uint64")
    store.append("news", story("edited").assign(likes=likes), source="b", committed_at=NOW + pd.Timedelta("1D"))
    rates = {"venue": "v", "symbol": "B", "settles_at": PUBLISHED, "rate": 0.1, "seen_at": NOW}
    store.append("funding", pd.DataFrame([rates]), source="c", committed_at=NOW)
    return store


def test_every_version_stands_there_with_its_commit(store: Store, tmp_path: Path) -> None:
    assert export_delta(store, tmp_path / "lake", at=NOW + pd.Timedelta("2D")) == {"news": 2, "funding": 1}
    assert sorted(path.name for path in (tmp_path / "lake").iterdir()) == ["funding", "news"]
    news = DeltaTable(tmp_path / "lake" / "news").to_pyarrow_table().to_pandas().sort_values("revision")
    expected = store.as_of(NOW + pd.Timedelta("2D")).news(versions="all")
    assert sorted(news.columns) == sorted([*expected.columns, "committed_at"])
    for name in ("article_id", "text", "published_at", "seen_at", "known_at", "revision"):
        assert news[name].tolist() == expected[name].tolist(), name
    assert news["committed_at"].tolist() == [NOW, NOW + pd.Timedelta("1D")]
    assert news["seen_at"].tolist() == [PUBLISHED, NOW + pd.Timedelta("1D")]
    assert int(news["likes"].iloc[1]) == 2**63 + 5
    funding = DeltaTable(tmp_path / "lake" / "funding").to_pyarrow_table().to_pandas()
    assert funding[["seen_at", "committed_at", "known_at"]].iloc[0].tolist() == [NOW, NOW, NOW]


def test_an_export_again_is_a_new_version_of_the_table(store: Store, tmp_path: Path) -> None:
    export_delta(store, tmp_path / "lake", at=NOW)
    export_delta(store, tmp_path / "lake", at=NOW + pd.Timedelta("2D"))
    table = DeltaTable(tmp_path / "lake" / "news")
    assert (table.version(), table.to_pyarrow_table().num_rows) == (1, 2)
    assert table.history()[0]["embargo.known_until"] == "2024-06-05T00:00:00+00:00"
    assert DeltaTable(tmp_path / "lake" / "news", version=0).to_pyarrow_table()["text"].to_pylist() == ["first"]


def test_what_nobody_knows_yet_is_no_table(store: Store, tmp_path: Path) -> None:
    assert export_delta(store, tmp_path / "lake", at=PUBLISHED) == {"news": 1}
    assert not (tmp_path / "lake" / "funding").exists()


def test_where_it_cannot_be_written_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(DataError, match="lake/news: the Delta table cannot be written"):
        export_delta(store, tmp_path / "lake", at=NOW)


@pytest.mark.parametrize("place", ["", " ", "store", "store/news", "other/../store"])
def test_a_lake_lies_outside_its_store(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="has no name" if not place.strip() else "in the store itself"):
        export_delta(store, place, at=NOW)


def test_without_the_package_its_extra_is_named(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[delta\]'"):
        export_delta(store, tmp_path / "lake", at=NOW)
    assert not (tmp_path / "lake").exists()


def test_the_command_counts_what_it_writes(store: Store, tmp_path: Path) -> None:
    result = embargo("data", "export", store.root, "--delta", tmp_path / "lake")
    assert result.exit_code == 0, result.output
    assert "news: 2 versions" in result.output
    assert "funding: 1 version" in result.output
    Store.create(tmp_path / "empty")
    nothing = embargo("data", "export", tmp_path / "empty", "--delta", tmp_path / "none")
    assert nothing.exit_code == 0
    assert "holds nothing yet" in nothing.output
