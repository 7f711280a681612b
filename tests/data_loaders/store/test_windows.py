"""A range of publication is answered as if the whole archive had been resolved and then cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.revisions import Row, as_of
from reference.windows import cut
from samples.store_histories import LATE, commits, fill, fresh, minute, revisions

from embargo.data_loaders.errors import DataError
from embargo.data_loaders.store import Store, appending, article_lists, windows
from embargo.data_loaders.store.manifest import LIST_SUFFIX, sealed

edges = st.none() | st.integers(-1, 61)
FURTHER: dict[str, list[Any]] = {
    "likes": [3, None],
    "Likes": [3.5, None],
    "url": ["https://example.org/1", None],
    "note": [pd.Timestamp("2020-01-01", tz="UTC"), "a text"],
    "ad": [True, False],
}


@pytest.fixture(autouse=True)
def _always_by_articles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small worlds are not worth narrowing; here they are narrowed all the same."""
    monkeypatch.setattr(windows, "MOST_ROWS", 1.0)


def forget_lists(store: Store, chosen: np.ndarray) -> None:
    """Take away the lists of some files, as if they had been written before there were any."""
    folder = store._folder
    names = [name for name in folder.all_names() if name.endswith(LIST_SUFFIX)]
    for name in np.asarray(names)[chosen[: len(names)]]:
        folder.delete(str(name))


@given(commits(), edges, edges, st.lists(st.booleans(), min_size=20, max_size=20), st.data())
@settings(max_examples=15)
def test_a_range_holds_what_the_slow_account_says(
    batches: list[list[Row]], start: int | None, end: int | None, unlisted: list[bool], data: st.DataObject
) -> None:
    store, rows = fresh(), [row for batch in batches for row in batch]
    fill(store, batches)
    if data.draw(st.booleans()):
        store.compact(committed_at=minute(100))
    forget_lists(store, np.asarray(unlisted))
    instants = data.draw(st.lists(st.integers(-1, 61), max_size=2))
    versions = data.draw(st.sampled_from(["latest", "first", "all"]))
    symbols = data.draw(st.none() | st.lists(st.sampled_from("XYZ"), min_size=1, unique=True))
    for t in [*instants, LATE][:2]:
        answer = store.as_of(minute(t)).news(
            start=None if start is None else minute(start),
            end=None if end is None else minute(end),
            versions=versions,
            symbols=symbols,
        )
        expected = [
            revision
            for revision in as_of(rows, t, versions)
            if (start is None or revision.natural >= start)
            and (end is None or revision.natural < end)
            and (symbols is None or str(revision.key).split()[1] in symbols)
        ]
        assert revisions(answer) == expected, (t, versions)


@given(commits(), edges, edges, st.lists(st.booleans(), min_size=20, max_size=20), st.data())
@settings(max_examples=12)
def test_a_range_is_the_whole_answer_cut(
    batches: list[list[Row]], start: int | None, end: int | None, unlisted: list[bool], data: st.DataObject
) -> None:
    store = fresh()
    for rows in batches:
        names = data.draw(st.lists(st.sampled_from([*FURTHER]), unique_by=str.lower, max_size=2))
        further = {name: data.draw(st.sampled_from(FURTHER[name])) for name in names}
        fill(store, [rows], further)
    forget_lists(store, np.asarray(unlisted))
    first, last = (None if edge is None else minute(edge) for edge in (start, end))
    versions = data.draw(st.sampled_from(["latest", "first", "all"]))
    snapshot = store.as_of(minute(data.draw(st.sampled_from([LATE, 20, 50]))))
    answer = snapshot.news(start=first, end=last, versions=versions)
    slow = cut(snapshot, first, last, versions=versions, symbols=None)
    pd.testing.assert_frame_equal(answer, slow, check_dtype=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MOST_ROWS", -1.0)
        pd.testing.assert_frame_equal(answer, snapshot.news(start=first, end=last, versions=versions))


def stories(numbers: range, at: pd.Timestamp, **changes: Any) -> pd.DataFrame:
    count = len(numbers)
    frame = pd.DataFrame(
        {
            "article_id": [f"a{number}" for number in numbers],
            "symbol": "X",
            "text": [f"text {number}" for number in numbers],
            "published_at": at + pd.to_timedelta(np.arange(count), unit="min"),
            "source": "wire",
        }
    )
    return frame.assign(**changes)


DAY = pd.Timestamp("2020-01-01", tz="UTC").as_unit("us")
NOW = pd.Timestamp("2024-06-03", tz="UTC")


@pytest.fixture
def archive(tmp_path: Path) -> Store:
    """Ten days of articles in ten files, of which a later one edits a few and dates one to another day."""
    store = Store.create(tmp_path / "store")
    for day in range(10):
        frame = stories(range(day * 10, day * 10 + 10), DAY + pd.Timedelta(day, "D"))
        store.append("news", frame, source=f"day {day}", committed_at=NOW + pd.Timedelta(day, "h"))
    edited = stories(range(31, 33), DAY + pd.Timedelta(3, "D"), text="edited")
    moved = stories(range(75, 76), DAY + pd.Timedelta(3, "D"), text="moved")
    for frame in (edited, moved):
        store.append("news", frame, source="later", committed_at=NOW + pd.Timedelta(2, "D"))
    return store


def read_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name each data file that is hashed from now on."""
    opened: list[str] = []
    verifier = store._reader._verifier
    honest = verifier.path_of

    def told(batch: Any, entry: Any) -> Path:
        opened.append(entry.path)
        return honest(batch, entry)

    monkeypatch.setattr(verifier, "path_of", told)
    return opened


def test_only_files_with_an_article_of_the_range_are_read(archive: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = read_files(archive, monkeypatch)
    batches = archive.batches()
    third = DAY + pd.Timedelta(3, "D")
    answer = archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))
    assert sorted(answer["text"].unique()) == sorted(
        [f"text {number}" for number in (30, *range(33, 40))] + ["edited", "moved"]
    )
    # Day 7 holds the first version of the article that was moved to day 3.
    expected = {batches[number].files[0].path for number in (3, 7, 10, 11)}
    assert set(opened) == expected


def test_a_version_before_the_range_dates_the_one_in_it(archive: Store) -> None:
    third = DAY + pd.Timedelta(3, "D")
    ranged = archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))
    moved = ranged.set_index("article_id").loc["a75"]
    assert moved["known_at"] == NOW + pd.Timedelta(2, "D")
    assert moved["revision"] == 1
    seventh = DAY + pd.Timedelta(7, "D")
    after = archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=seventh, end=seventh + pd.Timedelta(1, "D"))
    assert "a75" not in set(after["article_id"])
    before = archive.as_of(NOW + pd.Timedelta(1, "D")).news(start=seventh, end=seventh + pd.Timedelta(1, "D"))
    assert "a75" in set(before["article_id"])


def row(article: str, symbol: str, text: str, day: int) -> pd.DataFrame:
    return stories(range(1), DAY + pd.Timedelta(day, "D"), article_id=article, symbol=symbol, text=text)


@pytest.mark.parametrize(
    ("first", "later", "days"),
    [
        # The first version of an article lies outside the range, in a file that reaches into it.
        ([row("a", "X", "first", 5), row("b", "X", "other", 3)], row("a", "X", "edited", 3), 1),
        # What is told under Z was told from the first under Y, outside the range, beside X in it.
        ([row("c", "X", "old", 3), row("c", "Y", "new", 5)], row("c", "Z", "new", 3), None),
    ],
)
def test_a_row_outside_the_range_counts_though_its_file_reaches_into_it(
    tmp_path: Path, first: list[pd.DataFrame], later: pd.DataFrame, days: int | None
) -> None:
    store = Store.create(tmp_path / "store")
    store.append("news", pd.concat(first), source="first", committed_at=NOW)
    store.append("news", later, source="later", committed_at=NOW + pd.Timedelta(1, "D"))
    third = DAY + pd.Timedelta(3, "D")
    answer = store.as_of(NOW + pd.Timedelta(2, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))
    known = answer.set_index("text").loc[later["text"].iloc[0], "known_at"]
    assert known == (third if days is None else NOW + pd.Timedelta(days, "D"))


def test_a_column_of_files_outside_the_range_stands_there_too(archive: Store) -> None:
    other = row("z", "X", "with likes", 9).assign(likes=5)
    archive.append("news", other, source="likes", committed_at=NOW)
    third = DAY + pd.Timedelta(3, "D")
    answer = archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))
    assert answer["likes"].isna().all()


def test_without_lists_every_file_is_read_until_compact_writes_them(
    archive: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = DAY + pd.Timedelta(3, "D")
    snapshot = archive.as_of(NOW + pd.Timedelta(9, "D"))
    listed = snapshot.news(start=third, end=third + pd.Timedelta(1, "D"))
    forget_lists(archive, np.ones(99, bool))
    opened = read_files(archive, monkeypatch)
    pd.testing.assert_frame_equal(snapshot.news(start=third, end=third + pd.Timedelta(1, "D")), listed)
    assert len(set(opened)) == 12
    monkeypatch.setattr("embargo.data_loaders.store.compaction.SMALL_ROWS", 0)
    assert archive.compact(committed_at=NOW + pd.Timedelta(3, "D"))["article_lists"] == 12
    assert archive.compact(committed_at=NOW + pd.Timedelta(3, "D"))["article_lists"] == 0
    opened.clear()
    pd.testing.assert_frame_equal(snapshot.news(start=third, end=third + pd.Timedelta(1, "D")), listed)
    assert len(set(opened)) == 4
    assert archive.check().sound


@pytest.mark.parametrize("place", [0, 3, 60, -3])
def test_a_damaged_list_is_named(archive: Store, place: int) -> None:
    third = DAY + pd.Timedelta(3, "D")
    path = Path(archive.root) / archive.batches()[7].files[0].path.replace(".parquet", LIST_SUFFIX)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content if place else b"")
    with pytest.raises(DataError, match=rf"{LIST_SUFFIX} is damaged.*compact"):
        archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))
    assert [damage.path for damage in archive.check().damaged] == [str(path.relative_to(archive.root))]
    path.unlink()
    assert len(archive.as_of(NOW + pd.Timedelta(9, "D")).news(start=third, end=third + pd.Timedelta(1, "D"))) == 11
    archive.compact(committed_at=NOW + pd.Timedelta(3, "D"))
    assert archive.check().sound


def test_a_list_that_leaves_an_article_out_is_found_by_a_check(archive: Store) -> None:
    entry = archive.batches()[7].files[0]
    found = article_lists.read_list(archive._folder, entry)
    assert found is not None
    short = article_lists.ArticleList(found.articles[1:], found.restated, found.extras)
    archive._folder.write(entry.path.replace(".parquet", LIST_SUFFIX), article_lists.encoded(short, entry.sha256))
    (damage,) = archive.check().damaged
    assert "not the list of its file" in damage.reason


def test_a_list_that_is_cut_while_it_is_held_ends_no_process(archive: Store) -> None:
    """Whoever reads a mapped page that its file has lost is ended by the system."""
    entry = archive.batches()[7].files[0]
    found = article_lists.read_list(archive._folder, entry)
    assert found is not None
    before = found.articles.tolist()
    os.truncate(Path(archive.root) / entry.path.replace(".parquet", LIST_SUFFIX), 0)
    reader = os.fork()
    if not reader:
        os._exit(0 if found.articles.tolist() == before else 1)
    assert os.waitpid(reader, 0)[1] == 0


def test_lists_go_with_their_files(archive: Store) -> None:
    root = Path(archive.root)
    archive.compact(committed_at=NOW + pd.Timedelta(3, "D"))
    archive.compact(committed_at=NOW + pd.Timedelta(5, "D"))
    files = {path.relative_to(root).with_suffix("") for path in root.rglob("*.parquet")}
    assert files == {path.relative_to(root).with_suffix("") for path in root.rglob(f"*{LIST_SUFFIX}")}
    assert len(files) == 1
    orphan = next(root.rglob(f"*{LIST_SUFFIX}"))
    left = orphan.with_name(f"20200101T000000000000Z-{'0' * 16}-0{LIST_SUFFIX}")
    orphan.rename(left)
    assert archive.check().orphans == (str(left.relative_to(root)),)


def test_a_store_of_the_first_format_is_appended_to_as_it_began(tmp_path: Path) -> None:
    """The same content must not seem to be another for having been hashed in another way."""
    root = tmp_path / "old"
    root.mkdir()
    (root / "store.json").write_bytes(sealed({"format": 1, "kind": "embargo store"}))
    frame = stories(range(3), DAY)
    folder = Store.open(root)._folder
    appending.append(folder, "news", frame, source="then", committed_at=NOW, covers=(), hashing=1)
    again = Store.open(root)
    again.append("news", frame, source="now", committed_at=NOW + pd.Timedelta(1, "D"))
    answer = again.as_of(NOW + pd.Timedelta(9, "D")).news(versions="all")
    assert answer["revision"].tolist() == [0, 0, 0]
    first = again.sql("SELECT * FROM news")
    assert len(first) == 3
    (root / "store.json").write_bytes(sealed({"format": 3, "kind": "embargo store"}))
    with pytest.raises(DataError, match="known is 1 and 2"):
        Store.open(root)
