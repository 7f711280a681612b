"""News and prices from code of one's own: called once, held to the contracts, cut like an archive, known by source."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from samples.small_runs import embargo, only_run

from embargo.data_loaders import SimulatedMarket, simulate_market
from embargo.data_loaders.archive import LoadedNews, LoadedPrices
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.schemas import Prices
from embargo.research import Quiet
from embargo.research.config import parse_config
from embargo.research.run import load_world
from embargo.research.run.world import World
from embargo.research.studies.signal import recall

MARKET = simulate_market(SimulatedMarket(n_symbols=4, start="2015-01-01", end="2015-12-31"))
NEWS = MARKET.news[["article_id", "published_at", "symbol", "text"]]
MODULE = "own_loaders_under_test"

Load = Callable[..., World]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a world through functions of this test; ``calls`` lists what they were told."""

    def through(
        made: object = NEWS,
        bars: object = MARKET.prices,
        *,
        calls: list[Any] | None = None,
        allow: tuple[str, ...] = (f"{MODULE}:news", f"{MODULE}:prices"),
        **sections: Mapping[str, Any],
    ) -> World:
        def returning(value: object) -> object:
            if not isinstance(value, pd.DataFrame | LoadedNews | Prices | LoadedPrices | list | None):
                return value
            return lambda settings: (calls if calls is not None else []).append(settings) or value

        module = ModuleType(MODULE)
        module.news, module.prices = returning(made), returning(bars)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, MODULE, module)
        document: dict[str, Any] = {
            "name": "mine",
            "news": {"loader": f"{MODULE}:news", "settings": {"depth": [1, 2]}},
            "prices": {"loader": f"{MODULE}:prices"},
            "split": {"first_test": "2015-07-01"},
        }
        for name, section in sections.items():
            document[name] = document.get(name, {}) | dict(section)
        return load_world(parse_config(document, where="mine", allow=allow), Quiet())

    return through


def test_each_is_called_once_with_its_settings(load: Load) -> None:
    calls: list[Any] = []
    world = load(calls=calls)
    assert sorted(map(repr, calls)) == ["{'depth': [1, 2]}", "{}"]
    assert world.prices.symbols == MARKET.prices.symbols
    assert world.counts["news"]["rows"] == len(NEWS)
    assert (world.news["known_at"] == world.news["published_at"]).all()


def test_what_they_left_out_is_counted_with_the_rest(load: Load) -> None:
    world = load(LoadedNews(NEWS, {"without_symbol": 7}), LoadedPrices(MARKET.prices, {"odd": 3}))
    assert world.counts["news"]["without_symbol"] == 7
    assert world.counts["prices"]["odd"] == 3


def test_the_run_cuts_what_it_did_not_ask_for(load: Load) -> None:
    world = load(
        NEWS.assign(text=NEWS["text"] + " and so on" * 90),
        news={"max_characters": 100, "drop_repeats": False},
        prices={"symbols": ["BEXM", "ALDR"]},
        split={"start": "2015-02-01", "end": "2015-11-01"},
    )
    assert world.prices.symbols == ["BEXM", "ALDR"]
    assert set(world.news["symbol"]) == {"ALDR", "BEXM"}
    assert world.news["published_at"].between("2015-02-01", "2015-11-01").all()
    assert world.prices.open_at[-1] < pd.Timestamp("2015-11-01", tz="UTC")
    assert (world.news["text"].str.len() == 100).all()
    counts = world.counts["news"]
    assert counts["other_symbols"] + counts["outside_range"] + counts["kept"] == len(NEWS)
    assert counts["truncated"] == counts["kept"]


@pytest.mark.parametrize(
    ("news", "kind", "complaint"),
    [
        (NEWS.assign(published_at=NEWS["published_at"].dt.tz_localize(None)), DataError, "no time zone"),
        (NEWS.drop(columns="symbol"), DataError, r"missing columns \['symbol'\]"),
        (pd.concat([NEWS, NEWS.iloc[:1]]), DataError, "duplicate"),
        (
            NEWS.assign(article_id="a", symbol=[f"S{n}" for n in range(len(NEWS))]),
            DataError,
            "different texts or times",
        ),
        ([1, 2], ConfigError, "returned list. Return a DataFrame"),
        (None, ConfigError, "returned NoneType. Return a DataFrame"),
        ("a text", ConfigError, "is str, no function"),
        (lambda: NEWS, ConfigError, "must take one mapping"),
        (lambda a, b: NEWS, ConfigError, "must take one mapping"),
    ],
)
def test_what_is_no_news_is_told(load: Load, news: object, kind: type[Exception], complaint: str) -> None:
    with pytest.raises(kind, match=complaint):
        load(news)


def test_what_are_no_prices_is_told(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"returned DataFrame\. Return Prices"):
        load(bars=MARKET.prices.close)
    with pytest.raises(DataError, match=f"prices.loader = '{MODULE}:prices'"):
        load(bars=replace(MARKET.prices, close=-MARKET.prices.close))
    with pytest.raises(ConfigError, match=r"follow the calendar 'XNYS', and prices\.calendar is"):
        load(prices={"calendar": "24/7"})
    with pytest.raises(DataError, match="no bar is left"):
        load(prices={"symbols": ["ALDR"]}, split={"end": "2015-01-01", "first_test": "2014-01-01"})


def test_symbols_without_prices_are_told_as_for_an_archive(load: Load) -> None:
    three = MARKET.prices.select(symbols=["ALDR", "BEXM", "CORM"])
    with pytest.raises(DataError, match="1 symbol has no prices: 'DELE'"):
        load(bars=three)
    assert load(bars=three, news={"unpriced": "drop"}).counts["news"]["unpriced"] > 0


def test_nothing_runs_that_was_not_allowed(load: Load) -> None:
    with pytest.raises(ConfigError, match=f"--allow {MODULE}:news"):
        load(allow=(f"{MODULE}:prices",))
    with pytest.raises(ConfigError, match=f"--allow {MODULE}:prices"):
        load(allow=(f"{MODULE}:news",))


def test_a_run_shows_whose_code_it_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBARGO_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_market.py").write_text(
        "from embargo.data_loaders import SimulatedMarket, simulate_market\n"
        "def market(settings):\n"
        "    return simulate_market(SimulatedMarket(start='2015-01-01', end='2015-12-31', **settings))\n"
        "def news(settings):\n"
        "    return market(settings).news\n"
        "def prices(settings):\n"
        "    return market(settings).prices\n"
    )
    config = tmp_path / "mine.toml"
    config.write_text(
        'name = "mine"\n[news]\nloader = "own_market:news"\nsettings = { n_symbols = 4 }\n'
        '[prices]\nloader = "own_market:prices"\nsettings = { n_symbols = 4 }\n'
        '[split]\nmethod = "holdout"\nfirst_test = 2015-10-01\n[model]\nkind = "lexicon"\n'
        '[labels]\nends_at = "known_at"\n[statistics]\nbootstrap = 200\npermutations = 99\n'
    )
    allow = ["--allow", "own_market:news", "--allow", "own_market:prices"]
    shown = embargo("validate", config, *allow)
    assert shown.exit_code in (0, 4), shown.output
    assert "news.loader = own_market:news: 1 module of your own, sha256" in " ".join(shown.output.split())
    done = embargo("run", config, "--out", tmp_path / "runs", *allow)
    assert done.exit_code in (0, 4), done.output
    run = only_run(tmp_path / "runs")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["code"].keys() == {"news.loader", "prices.loader"}
    assert manifest["fingerprints"]["code of news.loader"] == manifest["code"]["news.loader"]["sha256"]
    found = {(each["code"], each["verdict"]) for each in json.loads((run / "findings.json").read_text())}
    assert ("T1", "pass") in found
    again = embargo("signal", run)
    assert again.exit_code == 2
    assert "--allow own_market:news" in " ".join(again.output.split())
    assert recall(run, Quiet(), allow=["own_market:news", "own_market:prices"]).prices.symbols == [
        "ALDR",
        "BEXM",
        "CORM",
        "DELE",
    ]
    del sys.modules["own_market"]
