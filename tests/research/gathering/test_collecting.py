"""``embargo collect``: the new is stored as seen now, the known adds nothing, one source never costs another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from samples.loopback_commands import Desk, desk_at, embargo
from servers.loopback import ServerError
from servers.yahoo_service import nested

from embargo.data_loaders.errors import ConfigError
from embargo.research.gathering.collecting import load_collection

BOTH = 'store = "store"\n[yahoo]\nsymbols = ["AAPL"]\n[bybit]\n'


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(tmp_path, monkeypatch) as desk:
        desk.yahoo.publish("AAPL", nested("a1", "Apple beats", "2024-02-28T12:00:00Z", "AAPL", "MSFT"))
        yield desk


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "collect.toml"
    path.write_text(BOTH)
    return path


def test_articles_are_stored_once_as_seen_now(desk: Desk, config: Path) -> None:
    first = embargo("collect", config)
    assert first.exit_code == 0, first.output
    assert first.output.startswith("2024-03-01T00:30:00Z yahoo 2 new news; bybit ")
    assert len(first.output.splitlines()) == 1
    news = desk.opened().as_of(desk.now).news()
    assert (news["seen_at"] == desk.now).all()
    assert set(news["source"]) == {"yahoo", "bybit"}
    batches = len(desk.opened().batches())
    desk.set_time("2024-03-01 00:45Z")
    again = embargo("collect", config)
    assert again.output == "2024-03-01T00:45:00Z yahoo nothing new; bybit nothing new\n"
    assert len(desk.opened().batches()) == batches
    pd.testing.assert_frame_equal(desk.opened().as_of(desk.now).news(), news)


def test_an_edited_article_is_a_revision_seen_now(desk: Desk, config: Path) -> None:
    embargo("collect", config)
    first = desk.now
    desk.set_time("2024-03-01 02:00Z")
    desk.yahoo.publish("AAPL", nested("a1", "Apple beats, shares jump", "2024-02-28T12:00:00Z", "AAPL", "MSFT"))
    edited = desk.bybit.announcements[0]
    edited["title"] += " (postponed)"
    result = embargo("collect", config)
    assert "yahoo 2 revised news; bybit 1 revised news" in result.output
    store = desk.opened()
    assert not store.as_of(first).news()["text"].str.contains("jump|postponed").any()
    now = store.as_of(desk.now).news()
    assert now.loc[now["revision"] == 1, "seen_at"].eq(desk.now).all()
    assert (now["revision"] == 1).sum() == 3
    once = store.as_of(desk.now).news(versions="first")
    assert not once["text"].str.contains("jump|postponed").any()


def test_only_recent_announcements_are_asked_for_again(desk: Desk, config: Path) -> None:
    embargo("collect", config)
    asked = len(desk.bybit.asked("/v5/announcements/index"))
    embargo("collect", config)
    assert len(desk.bybit.asked("/v5/announcements/index")) - asked < asked


@pytest.mark.parametrize("broken", ["yahoo", "bybit"])
def test_one_source_that_fails_does_not_lose_the_other(desk: Desk, config: Path, broken: str) -> None:
    service = desk.yahoo if broken == "yahoo" else desk.bybit
    service.fail(*[ServerError()] * 20)
    result = embargo("collect", config)
    assert result.exit_code == 1
    assert f"Error: {broken}:" in result.output
    assert "503" in result.output
    # What came in is the last word, and a source that failed brought no "nothing new".
    last = result.output.splitlines()[-1]
    assert last.startswith("2024-03-01T")
    assert f"{broken} failed" in last
    kept = {"yahoo", "bybit"} - {broken}
    assert set(desk.opened().as_of(desk.now).news()["source"]) == kept


def test_one_source_that_cannot_be_asked_does_not_lose_the_other(desk: Desk, config: Path) -> None:
    # Was a fine start once: Yahoo keeps five-minute bars for 60 days only.
    prices = 'prices = true\nbar = "5min"\nstart = 2023-06-01\n'
    config.write_text(BOTH.replace("[bybit]", prices + "[bybit]"))
    result = embargo("collect", config)
    assert result.exit_code == 1
    assert "Error: yahoo: " in result.output
    assert "60 days only" in result.output
    assert set(desk.opened().as_of(desk.now).news()["source"]) == {"yahoo", "bybit"}


def test_another_language_begins_with_all_announcements(desk: Desk, config: Path) -> None:
    config.write_text('store = "store"\n[bybit]\n')
    first = embargo("collect", config).output
    config.write_text('store = "store"\n[bybit]\nlocale = "zh-TW"\n')
    assert embargo("collect", config).output == first


def test_prices_are_kept_current_if_asked(desk: Desk, tmp_path: Path) -> None:
    config = tmp_path / "prices.toml"
    config.write_text(
        'store = "store"\n[yahoo]\nsymbols = ["AAPL"]\nnews = false\nprices = true\nstart = 2024-01-01\n'
        '[bybit]\nannouncements = false\nsymbols = ["BTCUSDT"]\nprices = true\nfunding = true\nstart = 2024-02-01\n'
    )
    assert embargo("collect", config).exit_code == 0
    before = len(desk.bars("yahoo", "1d")), len(desk.bars("bybit-linear", "1h"))
    desk.set_time("2024-03-01 22:00Z")
    result = embargo("collect", config)
    assert "1 new bars" in result.output
    assert (len(desk.bars("yahoo", "1d")), len(desk.bars("bybit-linear", "1h"))) == (before[0] + 1, before[1] + 22)


def test_runs_that_overlap_do_no_harm(desk: Desk, config: Path) -> None:
    from embargo.data_loaders.retries import Patience
    from embargo.research.gathering.collecting import collect
    from embargo.research.progress import Quiet

    collection = load_collection(config).model_copy(update={"yahoo": None})
    failures: list[BaseException] = []

    def run() -> None:
        try:
            collect(collection, clock=lambda: desk.now, stages=Quiet(), patience=Patience())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    news = desk.opened().as_of(desk.now).news(versions="all")
    assert not news.duplicated(["article_id", "symbol"]).any()
    assert desk.opened().check().sound


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("store = 1", "store"),
        ('store = "s"', "neither [yahoo] nor [bybit]"),
        ('store = "s"\n[yahoo]\nsymbols = []', "yahoo.symbols"),
        ('store = "s"\n[yahoo]\nsymbol = ["A"]', "yahoo.symbol: unknown key; allowed here: bar, calendars, news"),
        ('stores = "s"\n[bybit]', "stores: unknown key; allowed here: bybit, store, yahoo"),
        ('store = "s"\n[yahoo]\nsymbols = ["A"]\nprices = true', "start is missing"),
        ('store = "s"\n[bybit]\nprices = true\nstart = 2024-01-01', "symbols is missing"),
        ('store = "s"\n[bybit]\nmarket = "spot"\nfunding = true\nsymbols = ["A"]\nstart = 2024-01-01', "perpetuals"),
        ('store = "${NO_SUCH_PLACE_AT_ALL}/s"\n[bybit]', "NO_SUCH_PLACE_AT_ALL"),
        ("store = ", "not a TOML file"),
    ],
)
def test_a_config_is_checked_down_to_the_last_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_collection(tmp_path / "c.toml")
    assert named in str(caught.value)
    assert embargo("collect", tmp_path / "c.toml").exit_code == 2


def test_the_store_lies_beside_the_config_unless_it_is_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK", "desk")
    places = {"${DESK}/store": str(tmp_path / "desk/store"), "s3://bucket/store": "s3://bucket/store"}
    for written, resolved in places.items():
        (tmp_path / "c.toml").write_text(f'store = "{written}"\n[bybit]\n')
        assert load_collection(tmp_path / "c.toml", env=["DESK"]).store == resolved


def test_the_example_is_a_valid_config() -> None:
    import embargo.research.experiments

    path = Path(next(iter(embargo.research.experiments.__path__))) / "collect.toml"
    collection = load_collection(path)
    assert collection.yahoo is not None
    assert collection.bybit is not None
