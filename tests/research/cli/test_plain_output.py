"""Whatever an article, a symbol, a file or a name holds, no command lets it command the terminal or a spreadsheet.

The signs are harmless ones: a colour, a backspace, a mark of style. Every command is walked, with its errors.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.progress import Progress
from rich.text import Text
from samples.loopback_commands import Desk, desk_at
from samples.model_desk import ModelDesk, desk_in

from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.data_loaders.store import Store
from embargo.models.content import write_manifest
from embargo.research.cli.catalogue import COMMANDS
from embargo.research.cli.entry import main
from embargo.research.modelling import judging
from embargo.research.pages.page import fill
from embargo.research.plain import for_spreadsheet, plain
from embargo.research.progress import escaped, shown
from embargo.research.screen import Screen

RED = "\x1b[31m"
HOSTILE = f"{RED}r\x9bm\b\x7f\u202e\r" + r"\[bold]x[/] [/nope] \[link=a:b]c[/link] :smile:"
# A sign in a file's name, and in a symbol: short, and not what a path or a cell is cut at.
NAMED = f"a{RED}\u202e[/b]"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

CONFIG = """
name = "hostile"
[news]
path = "news.parquet"
[prices]
path = "prices.parquet"
[split]
first_test = 2016-07-01
end = 2017-01-01
test_span = "6MS"
validation_span = "3MS"
[model]
kind = "lexicon"
[statistics]
bootstrap = 200
permutations = 99
"""


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def said(*arguments: object, kind: type[io.TextIOWrapper] = io.TextIOWrapper) -> tuple[int, str]:
    """Run the program in this process and return its exit status and what it wrote, on both streams."""
    streams = kind(io.BytesIO(), "utf-8"), kind(io.BytesIO(), "utf-8", errors="backslashreplace")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["embargo", *map(str, arguments)])
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        patched.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
    written = []
    for stream in streams:
        stream.flush()
        written.append(stream.buffer.getvalue().decode())
    return status, "".join(written)


def is_plain(*arguments: object, status: int = 0, shows: str = "") -> str:
    """Run the program, assert that it ends as it should and writes no control character, and return what it wrote."""
    ended, text = said(*arguments)
    assert ended == status, text
    found = CONTROL.search(text)
    assert not found, text[max(found.start() - 80, 0) : found.end() + 80]
    assert "Traceback" not in text
    assert shows in text, text
    return text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with news and prices in which texts, sources and a symbol are hostile, and a config."""
    folder = tmp_path_factory.mktemp("world")
    market = simulate_market(SimulatedMarket(n_symbols=4, start="2015-01-01", end="2016-12-31"))
    renamed = {market.prices.symbols[0]: NAMED}
    news = market.news.drop(columns="known_at").replace({"symbol": renamed})
    news.assign(text=f"{HOSTILE} " + news["text"], source=HOSTILE).to_parquet(folder / "news.parquet")
    fields = {
        name: getattr(market.prices, name).set_axis(market.prices.open_at.tz_convert("America/New_York").date)
        for name in ("open", "high", "low", "close", "volume")
    }
    long = pd.DataFrame({name: panel.unstack() for name, panel in fields.items()})  # noqa: PD010
    long = long.rename_axis(["symbol", "date"]).reset_index().dropna().replace({"symbol": renamed})
    long["date"] = pd.to_datetime(long["date"]).dt.tz_localize("UTC")
    long.to_parquet(folder / "prices.parquet")
    (folder / "c.toml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def runs(world: Path) -> list[Path]:
    for name, more in (("hostile", ()), ("other", ("--set", "signal.half_life=2"))):
        options = ("--out", world / "runs", "--cache", world / "cache", "--set", f"name={name}", *more)
        status, text = said("run", world / "c.toml", *options)
        assert status in (0, 3), text
        assert not CONTROL.search(text)
    return sorted(path for path in (world / "runs").iterdir() if path.is_dir())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(tmp_path, monkeypatch) as desk:
        yield desk


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelDesk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "RESAMPLES", 60)
        folder = tmp_path_factory.mktemp("models")
        desk = desk_in(folder)
        labelled = pd.read_csv(folder / "labels.csv")
        # In CSV a carriage return ends the row.
        labelled.assign(text=HOSTILE.replace("\r", " ") + labelled["text"]).to_csv(folder / "labels.csv", index=False)
        yield desk


@pytest.mark.parametrize("command", COMMANDS)
def test_what_was_typed_comes_back_plain(command: str) -> None:
    group = {"data": ["data", "sql"], "fetch": ["fetch", "yahoo"]}.get(command, [command])
    is_plain(*group, f"--{HOSTILE}", status=2)


def test_a_command_that_there_is_not_is_named_plainly() -> None:
    is_plain(RED, status=2, shows="31m")


def test_experiments_are_shown_plainly(world: Path, runs: list[Path], tmp_path: Path) -> None:
    is_plain("validate", world / "c.toml")
    status, text = said("data", "check", world / "c.toml", "--html", tmp_path / "check.html")
    assert status == 0, text
    assert not CONTROL.search(text)
    assert "hostile" in is_plain("runs", world / "runs")
    is_plain("init", world / "news.parquet", world / "prices.parquet", shows="calendar = ")
    is_plain("export-run", runs[0], "--csv", tmp_path / NAMED.replace("/", ""), "--pdf", tmp_path / "sheet.pdf")
    is_plain("clean", "--cache", world / "cache")
    is_plain("doctor", "--cache", world / "cache")
    is_plain("signal", runs[0], "--html", tmp_path / "signal.html", "--json", tmp_path / "signal.json")
    is_plain("compare", *runs, "--html", tmp_path / "compare.html", "--by", "regime")
    is_plain("sweep", world / "c.toml", "--grid", "signal.half_life=1,2", "--out", tmp_path, "--cache", tmp_path)
    is_plain("paths", world / "c.toml", "--groups", "3", "--test", "1", "--out", tmp_path, "--cache", tmp_path)
    pages = [*tmp_path.rglob("*.html"), *world.rglob("report.html")]
    assert len(pages) >= 5
    for page in pages:
        assert not CONTROL.search(page.read_text()), page


@pytest.mark.parametrize(
    ("setting", "shows"),
    [
        (f"news.path={NAMED}", "a␛[31m"),
        (f"prices.symbols=['{NAMED}Z']", "31m"),
        (f"news.columns={{ text = '{NAMED}' }}", "31m"),
        (f"news.filters={{ source = '{NAMED}' }}", ""),
        (f"{NAMED}=1", "␛[31m"),
        (f"model.kind='{NAMED}'", "x1b"),
    ],
)
def test_errors_of_experiments_are_plain(world: Path, setting: str, shows: str) -> None:
    # In TOML the sign is written as an escape, as a borrowed config would have it.
    written = setting.replace("'", '"').replace("\x1b", "\\u001b") if "'" in setting else setting
    text = said("validate", world / "c.toml", "--set", written)[1]
    assert not CONTROL.search(text)
    assert shows in text
    assert "Traceback" not in text


def test_a_store_is_shown_plainly_as_table_and_csv_and_exactly_as_json(desk: Desk, world: Path, tmp_path: Path) -> None:
    store = tmp_path / NAMED.replace("/", "")
    source = tmp_path / f"{NAMED.replace('/', '')}.parquet"
    pd.read_parquet(world / "news.parquet").head(20).to_parquet(source)
    is_plain("import", source, "--store", store, "--source", HOSTILE)
    bars = pd.read_parquet(world / "prices.parquet")
    bars.to_csv(tmp_path / "bars.csv", index=False)
    is_plain("import", tmp_path / "bars.csv", "--store", store, "--kind", "bars", "--venue", HOSTILE)
    is_plain("import", source, "--store", store, "--map", f"text={NAMED}", status=1)
    is_plain("data", "info", store, shows="␛[31m")
    said_of = said("data", "check", store, "--html", tmp_path / "check.html")
    assert not CONTROL.search(said_of[1])
    is_plain("data", "compact", store)
    texts = list(Store.open(store).sql("SELECT text FROM news ORDER BY article_id")["text"])
    query = "SELECT text, source FROM news ORDER BY article_id"
    assert r"\[bold]x[/] [/nope]" in is_plain("data", "sql", store, query)
    rows = list(csv.DictReader(io.StringIO(is_plain("data", "sql", store, query, "--format", "csv"))))
    assert [row["text"] for row in rows] == [plain(text) for text in texts]
    exact = json.loads(is_plain("data", "sql", store, query, "--format", "json"))
    assert [row["text"] for row in exact] == texts
    is_plain("data", "sql", store, f"SELECT {RED}", status=2)
    is_plain("data", "sql", store, f"SELECT error('{RED}') AS x", status=2)


def test_services_and_symbols_are_told_plainly(desk: Desk, tmp_path: Path) -> None:
    is_plain("fetch", "yahoo", NAMED, "--store", desk.store, "--start", "2024-02-01", status=2)
    is_plain("fetch", "bybit", NAMED, "--store", desk.store, "--start", "2024-02-20", status=1)
    config = tmp_path / "collect.toml"
    config.write_text(f'store = "s"\n[yahoo]\nsymbols = ["{json.dumps(NAMED)[1:-1]}"]\n')
    assert not CONTROL.search(said("collect", config)[1])


def test_models_are_shown_plainly(models: ModelDesk, tmp_path: Path) -> None:
    folder = models.folder
    cache = ("--cache", folder / "cache")
    is_plain("tune", folder / "tune.toml", "--explain", *cache)
    tuned = folder / NAMED.replace("/", "")
    is_plain("tune", folder / "tune.toml", "--out", tuned, "--set", "model.epochs=1", *cache)
    (model,) = tuned.iterdir()
    is_plain("evaluate", model, folder / "labels.csv", *cache)
    is_plain("evaluate", model, folder / "labels.csv", "--label", NAMED, *cache, status=1)
    news = pd.DataFrame(
        {
            "article_id": ["1", "2"],
            "symbol": NAMED,
            "text": [HOSTILE, "up"],
            "published_at": pd.Timestamp("2015-01-01", tz="UTC"),
            "source": HOSTILE,
        }
    )
    news.to_parquet(folder / "news.parquet")
    is_plain("score", model, folder / "news.parquet", "--out", folder / "scores.parquet", *cache)
    is_plain("score", model, folder / "news.parquet", "--out", folder / "scores.parquet", *cache, status=2)
    is_plain("export", model, "--merge", "--out", folder / "merged", *cache)
    manifest = json.loads((model / "manifest.json").read_text())
    manifest.pop("seal"), manifest.pop("files")
    manifest["base"]["name"] = HOSTILE
    manifest["settings"] = {**manifest.get("settings", {}), "method": HOSTILE}
    write_manifest(model, manifest, sealed=True)
    is_plain("models", "--folder", tuned)
    is_plain("models", "--search", HOSTILE)


def test_warnings_and_crashes_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    from embargo.research.cli import experiments

    def crash(*_: object) -> None:
        warnings.warn(HOSTILE, stacklevel=1)
        print(HOSTILE, file=sys.stderr)
        raise SystemExit(5)

    monkeypatch.setattr(experiments, "_execute", crash)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: print(message, file=sys.stderr)
        assert is_plain("demo", status=5).count("␛[31m") == 2


def printed(*things: object, **settings: object) -> str:
    stream = Terminal(io.BytesIO(), "utf-8")
    Screen(file=stream, force_terminal=True, width=80, **settings).print(*things)
    stream.flush()
    return stream.buffer.getvalue().decode()


def test_a_terminal_gets_the_colours_of_the_console_alone() -> None:
    ours = printed(f"[bold]ours[/] {escaped(HOSTILE)}")
    assert ours.startswith("\x1b[1mours\x1b[0m ")
    assert RED not in ours
    assert "]8;" not in ours
    assert ":smile:" in ours
    assert RED not in printed(Text(HOSTILE))
    assert "]8;" not in printed("[link=a:b]c[/link]")
    stream = Terminal(io.BytesIO(), "utf-8")
    screen = Screen(file=stream, force_terminal=True, width=80)
    with shown(screen) as stages:
        stages.stage(HOSTILE)(1, 2)
    stream.flush()
    drawn = stream.buffer.getvalue().decode()
    assert "\x1b[31" not in drawn
    assert "␛[31m" in drawn
    assert isinstance(Progress(console=screen).console, Screen)


def test_text_shows_as_it_is_between_marks_of_style() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3_000):
        text = "".join(rng.choice(list("\\[]/a=#@A :"), size=int(rng.integers(0, 9))))
        rendered = Text.from_markup(f"[red]x {escaped(text)} y[/]", emoji=False)
        assert (rendered.plain, len(rendered.spans)) == (f"x {text} y", 1)


def test_what_is_plain_stays_as_it_is_and_nothing_is_left_out() -> None:
    fine = "Übersee:\t日本 🇯🇵 naïve\nشركة"
    assert plain(fine) == fine
    assert plain("a\r\nb\rc") == "a\nb␍c"
    for sign in map(chr, range(0x2070)):
        assert len(plain(sign)) == 1
        assert not CONTROL.search(plain(sign))
        assert unicodedata.category(plain(sign)) != "Cc" or sign in "\n\t"


def test_a_spreadsheet_computes_no_text_and_numbers_stay_numbers() -> None:
    rows = pd.DataFrame(
        {
            "text": ["=1+1", "+1", "-1.5", "@a", "\tx", "\rx", "＝1", "fine", "a=b", None],
            "change": [-1.5, *[0.5] * 9],
            "count": [-3, *range(9)],
            "mixed": [-2, "-2", *[None] * 8],
            "kind": pd.Categorical(["=x", *["y"] * 9]),
            "at": pd.Timestamp("2020-01-01", tz="UTC"),
        }
    )
    written = for_spreadsheet(rows)
    assert list(written["text"][:9]) == ["'=1+1", "'+1", "'-1.5", "'@a", "'\tx", "'\rx", "'＝1", "fine", "a=b"]
    assert pd.isna(written["text"][9])
    pd.testing.assert_frame_equal(written[["change", "count", "at"]], rows[["change", "count", "at"]])
    assert list(written["mixed"][:2]) == [-2, "'-2"]
    assert list(written["kind"][:2]) == ["'=x", "y"]
    twice = pd.DataFrame([["=1", "=2"]], columns=["=a", "=a"])
    assert for_spreadsheet(twice).to_csv(index=False) == "'=a,'=a\n'=1,'=2\n"


def test_a_page_shows_text_from_outside_plainly(tmp_path: Path) -> None:
    template = tmp_path / "page.html.j2"
    template.write_text("{{ text }} {{ 3 }}")
    assert fill(template, text=f"<b>{RED}\u202e") == "&lt;b&gt;␛[31m\ufffd 3"
