"""The report as text: it says all it was given, escapes all it was given, and is the same for the same data."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.metric_samples import metrics_with
from samples.report_samples import equity_frame, permutation, sample

import embargo.research.pages
from embargo.data_loaders.errors import DataError
from embargo.research.pages import formats
from embargo.research.pages.charts import MAX_POINTS
from embargo.research.pages.curves import drawdowns
from embargo.research.pages.tables import ReportTable
from embargo.research.records.metrics import TruthFigures
from embargo.research.run.report import DataPart, MetricRow, ReportData, charts
from embargo.research.run.report.assemble import headline_of
from embargo.research.run.report.page import MAX_EVIDENCE_ROWS, _monthly, render_page

POISON = (
    '</script><script>window.injected = 1</script><img src=x onerror="window.injected = 1"><!-- \u2028 \' & {{ 7*7 }}'
)
MINUS = "−"


class Page(HTMLParser):
    """What a browser would see: elements with attributes, the text of the page, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data_blocks: dict[str, str] = {}
        self.open_script: dict[str, str | None] | None = None
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open_script = dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.open_script = None

    def handle_data(self, data: str) -> None:
        if self.open_script is None:
            self.words.append(data)
        elif self.open_script.get("type") == "application/json":
            self.data_blocks[str(self.open_script["id"])] = data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def poisoned(value: Any, key: str = "") -> Any:
    """The same value with every text replaced by a hostile one, except the words that the contract fixes."""
    if isinstance(value, str):
        return value if key in ("status", "verdict", "unit", "stage") else POISON
    if isinstance(value, MetricRow):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        fields["benchmarks"] = {f"{name}{POISON}": entry for name, entry in value.benchmarks.items()}
        return MetricRow(
            **{name: entry if name == "benchmarks" else poisoned(entry, name) for name, entry in fields.items()}
        )
    if isinstance(value, Mapping):
        keep = {
            "precision",
            "observed",
            "counts",
            "edges",
            "p_value",
            "quantiles",
            "statistic",
            "method",
            "permutations",
        }
        keep |= {"code", "verdict", "title", "detail", "evidence", "remedy"}
        return {
            (name if name in keep or not isinstance(name, str) else f"{name}{POISON}"): poisoned(entry, str(name))
            for name, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(poisoned(entry) for entry in value)
    return value


def hostile() -> ReportData:
    data = sample("invalid")
    fields = {field.name: poisoned(getattr(data, field.name), field.name) for field in dataclasses.fields(data)}
    fields["equity"] = data.equity.rename(columns={"buy and hold": POISON})
    assert data.regimes is not None
    assert data.regime_table is not None
    assert data.confusion is not None
    fields["regimes"] = data.regimes.replace({"bull": POISON}).rename(columns={"trend": f"trend{POISON}"})
    fields["regime_table"] = data.regime_table.assign(definition=POISON, regime=POISON, note=POISON)
    fields["confusion"] = data.confusion.rename(
        columns=lambda name: f"{name}{POISON}", index=lambda name: f"{name}{POISON}"
    )
    fields["folds"] = data.folds.assign(fold=POISON) if data.folds is not None else None
    return ReportData(**fields)


@pytest.fixture(scope="module")
def invalid_page() -> Page:
    return Page(render_page(sample("invalid")))


def test_same_data_give_the_same_bytes() -> None:
    assert render_page(sample("caution")) == render_page(sample("caution"))


def test_hostile_text_adds_no_element_and_no_attribute(invalid_page: Page) -> None:
    page = Page(render_page(hostile()))
    assert page.all("script") == invalid_page.all("script")
    assert page.all("img") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert len(page.elements) == pytest.approx(len(invalid_page.elements), abs=60)
    assert page.text.count("window.injected = 1") > 100
    assert "49" not in page.text.split("provenance")[0][:400]


def test_hostile_text_cannot_leave_the_figures_or_be_markup_in_them() -> None:
    html = render_page(hostile())
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL):
        assert not set("<>&\u2028\u2029") & set(block)
        figure = json.loads(block)
        if isinstance(figure, list):
            # Columns that figures share.
            assert not [text for column in figure for text in column if re.search(r"<(?!br>)", str(text))]
            continue
        labels = [trace.get("name", "") for trace in figure["data"]]
        labels += figure["layout"]["yaxis"].get("ticktext", [])
        labels += [text for trace in figure["data"] for text in trace.get("customdata", []) if isinstance(text, str)]
        assert not [label for label in labels if re.search(r"<(?!br>)", label)]


def test_stamp_cannot_leave_the_style_sheet() -> None:
    stamp = 'x"; } body { display: none } </style><script>1</script>\\'
    html = render_page(sample("invalid", stamp=stamp))
    content = re.search(r"@top-center \{ content: (.*?); font", html)
    assert content
    assert re.fullmatch(r'"(?:[A-Za-z0-9 ]|\\[0-9a-f]{6})*"', content[1])
    written = re.sub(r"\\([0-9a-f]{6})", lambda code: chr(int(code[1], 16)), content[1][1:-1])
    assert written == stamp


def test_nothing_is_loaded_from_outside(invalid_page: Page) -> None:
    html = render_page(sample("invalid"))
    # The one address is the name of a vocabulary, which nothing is loaded from.
    assert "http" not in html.replace('"http://www.w3.org/2000/svg"', "").replace("http-equiv", "")
    for _, attributes in invalid_page.elements:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))
    policy = [
        meta["content"] for meta in invalid_page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policy) == 1
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none';")


@pytest.mark.parametrize("status", ["caution", "invalid"])
def test_stamp_is_on_screen_and_on_every_printed_page(status: str) -> None:
    html = render_page(sample(status))
    page = Page(html)
    assert sample(status).stamp in page.text
    assert [div for div in page.all("div") if div.get("class") == f"stamp {status}"]
    assert [div for div in page.all("div") if div.get("class") == f"watermark {status}"]
    assert "@top-center" in html
    assert re.search(r"\.stamp \{[^}]*position: sticky", html)
    assert re.search(r"\.watermark \{[^}]*position: fixed", html)


def worth(**change: Any) -> DataPart:
    """Say that a check calls the data bad, another asks for a look and a third is clean."""
    rows = pd.DataFrame({"symbol": ["<i>AAA"], "bar": [pd.Timestamp("2020-01-02 14:30", tz="UTC")]})
    texts = {"summary": "1 jump & no split.", "where": "<i>AAA 2020-01-02", "remedy": "Mend <b>it</b>.", "rows": rows}
    blank = dict.fromkeys(("where", "remedy"), "") | {"accepted": None, "rows": pd.DataFrame()}
    checks = (
        {"code": "splits", "verdict": "bad", "accepted": None} | texts,
        blank | {"code": "first-sighting", "verdict": "look", "summary": "never told."},
        blank | {"code": "ranges", "verdict": "clean", "summary": "within the range."},
    )
    table = ReportTable("What hangs on the bars at fault", "", ("Result", "Sharpe ratio"), (("as reported", "0.71"),))
    given = {"grade": "bad", "refused": True, "stamp": "Data bad: splits <b>", "summary": "splits.", "checks": checks}
    return DataPart(**{"without": table} | given | change)


def test_bad_data_are_stamped_beside_the_audit_and_named_below() -> None:
    html = render_page(sample("caution", data=worth()))
    page = Page(html)
    looks = [div["class"] for div in page.all("div") if (div.get("class") or "").startswith("stamp ")]
    assert looks == ["stamp invalid", "stamp caution"]
    assert [div["class"] for div in page.all("div") if (div.get("class") or "").startswith("watermark")] == [
        "watermark invalid"
    ]
    assert "Data bad: splits <b>" in page.text
    assert str(sample("caution").stamp) in page.text
    assert "data bad – Embargo report</title>" in html
    told = page.text.split("What the data are worth")[-1]
    for words in ("1 jump & no split.", "<i>AAA 2020-01-02", "Mend <b>it</b>.", "Never told.", "as reported", "0.71"):
        assert words in told
    assert told.index("first-sighting") < told.index("Checks that are clean") < told.index("within the range.")
    assert "<i>AAA" not in html
    assert "<b>" not in html


def test_a_leak_and_bad_data_are_both_stamped_the_leak_first() -> None:
    html = render_page(sample("invalid", data=worth()))
    page = Page(html)
    assert page.text.index(str(sample("invalid").stamp)) < page.text.index("Data bad: splits")
    printed = re.search(r"@top-center \{ content: (.*?); font", html)
    assert printed
    assert "Data bad" in printed[1]


def test_data_that_were_accepted_or_are_clean_condemn_nothing() -> None:
    taken = Page(render_page(sample("valid", data=worth(refused=False, stamp="Data called bad and accepted: splits"))))
    assert "Data: bad, accepted" in taken.text
    assert "Data called bad and accepted: splits" in taken.text
    assert [div["class"] for div in taken.all("div") if (div.get("class") or "").startswith("stamp ")] == [
        "stamp caution"
    ]
    clean = render_page(sample("valid", data=worth(grade="clean", refused=False, stamp=None, checks=(), without=None)))
    assert 'class="stamp' not in clean
    assert "Data: clean" in clean


def test_a_valid_run_carries_no_stamp() -> None:
    html = render_page(sample("valid"))
    assert 'class="watermark' not in html
    assert "@top-center" not in html


def test_findings_stand_by_severity_and_say_their_verdict_in_words(invalid_page: Page) -> None:
    audit = invalid_page.text.split("Leakage audit")[-1]
    places = [audit.index(code) for code in ("T5 After", "D5 Near", "P2 Trials")]
    assert places == sorted(places)
    for words in ("1 leak", "1 suspicious", "1 inconclusive", "3 pass", "1 not applicable"):
        assert words in audit
    assert "a-20319" in audit
    assert "Size: 0.67 (Sharpe ratio a year)" in audit
    assert "What to do: Align articles" in audit


def test_shares_are_in_percent_and_no_instant_is_raw() -> None:
    stamp = "2016-06-30T13:25:00+00:00"
    finding = {
        "code": "T5", "verdict": "leak", "title": "t", "detail": f"decided {stamp}", "remedy": "r", "effect": 0.0421,
        "unit": "share of articles", "interval": (0.04, 0.0442),
        "evidence": [{"decided_at": stamp, "share_of_usual_volume": 0.07, "z": -13.8}],
    }  # fmt: skip
    page = Page(render_page(sample(findings=[finding]))).text
    assert stamp not in page
    assert page.count("2016-06-30 13:25 UTC") == 2
    assert "Size: 4.2%, 95% interval 4.0% to 4.4% (share of articles)" in page
    assert "7.0%" in page


def test_evidence_beyond_the_limit_is_counted() -> None:
    finding = {
        "code": "T1", "verdict": "leak", "title": "t", "detail": "d", "remedy": "r",
        "evidence": [{"row": number} for number in range(MAX_EVIDENCE_ROWS + 5)],
    }  # fmt: skip
    assert "5 more rows are in findings.json" in Page(render_page(sample(findings=[finding]))).text


def test_what_scored_each_fold_stands_where_it_was_left_to_it() -> None:
    data = sample("valid")
    assert data.folds is not None
    assert "Scored with" not in render_page(data)
    chosen = ["torch: bert is scored without padding", *["onnx: repays its export"] * (len(data.folds) - 1)]
    page = render_page(dataclasses.replace(data, folds=data.folds.assign(runtime=chosen)))
    assert "Scored with" in page
    assert page.count(">torch: bert is scored without padding<") == 1
    assert page.count(">onnx: repays its export<") == len(data.folds) - 1


def test_no_audit_is_not_taken_for_a_clean_one() -> None:
    assert "No check was run" in Page(render_page(sample(findings=[]))).text


def test_everything_left_out_is_listed(invalid_page: Page) -> None:
    left_out = invalid_page.text.split("What was left out, and why")[-1]
    for words in ("Articles without a date 31", "Samples purged 590", "Symbols without prices 0"):
        assert words in left_out
    loose = Page(render_page(sample(counts={"undated": 3, "load": {"late": 4}}))).text.split("What was left out")[-1]
    assert "Undated 3 Load Late 4" in loose


def test_numbers_are_printed_in_their_units(invalid_page: Page) -> None:
    text = invalid_page.text
    assert "Sharpe ratio 0.94 0.21 to 1.68 0.61 0.58" in text
    assert "Return a year 8.1% 1.7% to 14.6% 9.2% 8.7%" in text
    assert "Permutation p-value, one-sided < 0.001" in text
    assert f"Maximum drawdown {MINUS}13.1%" in text
    assert "– not available" in text
    assert not re.search(r"\b(nan|NaT|None)\b", text)


def test_bars_are_counted_and_not_the_points_of_the_curve() -> None:
    data = sample(bars=251)
    assert "· 250 bars ·" in render_page(data)


def test_a_strategy_that_never_traded_has_no_interval() -> None:
    truth = TruthFigures(
        information_coefficient=0.1, **dict.fromkeys(("perfect_sharpe", "perfect_sharpe_low", "perfect_sharpe_high"))
    )
    metrics = metrics_with(level=0.95, n_trials=1, truth=truth)
    tiles = headline_of(metrics)
    assert tiles[0] == ("Sharpe ratio", "–", "95% interval –")
    assert not any("– to –" in note for _, _, note in tiles)


def test_optional_parts_leave_no_empty_section() -> None:
    bare = sample(
        regimes=None, regime_table=None, reliability=None, confusion=None, classification=None, permutation=None,
        folds=None, findings=[], counts={}, config={}, manifest={}, metrics=(), headline=(),
    )  # fmt: skip
    page = Page(render_page(bare))
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert {"verdict", "equity", "audit", "counts"} <= ids
    assert not {"regimes", "chance", "classifier", "folds"} & ids
    targets = {str(link.get("href")).removeprefix("#") for link in page.all("a")}
    assert targets <= ids


def test_page_is_accessible(invalid_page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in invalid_page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all(cell.get("scope") for cell in invalid_page.all("th"))
    assert len(invalid_page.all("caption")) == len(invalid_page.all("table"))
    images = [attributes for _, attributes in invalid_page.elements if attributes.get("role") == "img"]
    assert len(images) == 5
    assert all(len(str(image.get("aria-label"))) > 40 for image in images)
    ids = [attributes["id"] for _, attributes in invalid_page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    labels = {attributes.get("aria-labelledby") for _, attributes in invalid_page.elements} - {None}
    assert labels <= set(ids)
    assert invalid_page.all("html")[0]["lang"] == "en"


def test_figures_name_only_colours_that_the_style_sheet_has() -> None:
    html = render_page(sample("invalid"))
    css = (Path(embargo.research.pages.__file__).parent / "style.css").read_text()
    for theme in (css.split('[data-theme="dark"]')[0], css.split('[data-theme="dark"]')[1]):
        known = set(re.findall(r"(--[a-z0-9-]+):", theme))
        figures = "".join(Page(html).data_blocks.values())
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", figures)) <= known


def test_figure_holds_the_equity_it_was_given() -> None:
    equity = equity_frame(300, 3)
    figure = charts.equity_chart(equity, None).figure
    lines = {trace.name: trace for trace in figure.data if trace.yaxis == "y2"}
    np.testing.assert_array_equal(lines["strategy"].y, equity["strategy"].to_numpy())
    instants = pd.to_datetime(np.asarray(lines["strategy"].x), unit="ms", utc=True)
    assert (instants == equity.index).all()
    falls = next(trace for trace in figure.data if trace.name == "strategy drawdown")
    slow = [value / max(equity["strategy"].iloc[: row + 1]) - 1 for row, value in enumerate(equity["strategy"])]
    np.testing.assert_allclose(falls.y, slow, atol=1e-12)


def test_a_long_equity_is_thinned_but_says_so_and_keeps_its_extremes() -> None:
    equity = equity_frame(9_000, 5, "h")
    chart = charts.equity_chart(equity, None)
    drawn = next(trace.y for trace in chart.figure.data if trace.name == "strategy")
    falls = next(trace.y for trace in chart.figure.data if trace.name == "strategy drawdown")
    assert len(drawn) <= MAX_POINTS
    assert drawn.max() == equity["strategy"].max()
    assert drawn.min() == equity["strategy"].min()
    assert drawn[-1] == equity["strategy"].iloc[-1]
    assert falls.min() == drawdowns(equity)["strategy"].min()
    assert f"{len(drawn):,} of 9,000 bars" in chart.note
    assert len(render_page(sample(bars=9_000, freq="h"))) < 500_000


def test_regime_shading_covers_each_stretch_once() -> None:
    index = pd.date_range("2024-01-01", periods=6, freq="D", tz="UTC").as_unit("us")
    equity = pd.DataFrame({"strategy": np.linspace(1, 1.1, 6)}, index=index)
    regimes = pd.DataFrame({"trend": ["up", "up", None, "down", "up", "up"]}, index=index)
    traces = {trace.name: trace for trace in charts.equity_chart(equity, regimes).figure.data if trace.fill == "toself"}
    day = 86_400_000
    first = index[0].timestamp() * 1_000

    def spans(name: str) -> list[tuple[float, float]]:
        xs = list(traces[name].x)
        return [((xs[place] - first) / day, (xs[place + 2] - first) / day) for place in range(0, len(xs), 5)]

    assert spans("trend: up") == [(0, 2), (4, 5)]
    assert spans("trend: down") == [(3, 4)]


def test_monthly_returns_chain_to_the_whole() -> None:
    equity = equity_frame(700, 11)["strategy"]
    rows = _monthly(equity)
    years = [float(row["cells"][-1].text.rstrip("%").replace(MINUS, "-")) / 100 for row in rows]
    assert np.prod(1 + np.array(years)) == pytest.approx(equity.iloc[-1], abs=2e-3)
    first = equity[equity.index < "2019-02-01"].iloc[-1] - 1
    assert rows[0]["cells"][0].text == formats.percent(first)
    assert [len(row["cells"]) for row in rows] == [13] * len(rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "fine"}, "status is 'fine'"),
        ({"status": "invalid", "stamp": None}, "needs a stamp"),
        ({"equity": equity_frame(30, 1).tz_localize(None)}, "UTC"),
        ({"equity": equity_frame(30, 1).iloc[::-1]}, "increasing"),
        ({"equity": equity_frame(30, 1).rename(columns={"strategy": "mine"})}, "no column 'strategy'"),
        ({"equity": equity_frame(30, 1).iloc[:1]}, "at least two bars"),
        ({"equity": equity_frame(30, 1)}, "regimes: the index differs"),
        ({"regime_table": pd.DataFrame({"regime": ["bull"]})}, "definition, sharpe, low, high"),
        ({"reliability": pd.DataFrame({"lower": [0.1]})}, "reliability"),
        ({"folds": pd.DataFrame({"fold": [1]})}, "train_start"),
        ({"permutation": {"observed": 1.0}}, "counts, edges, p_value"),
        ({"permutation": permutation(1) | {"edges": [0, 1]}}, "one edge more"),
        ({"metrics": [MetricRow("Sharpe", 1.0, unit="furlong")]}, "furlong"),  # type: ignore[arg-type]
        ({"findings": [{"code": "T1", "verdict": "maybe"}]}, "verdict 'maybe'"),
    ],
)
def test_contents_of_the_wrong_shape_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        sample(**changes)


def test_regimes_are_marked_at_the_level_of_the_run() -> None:
    table = pd.DataFrame(
        {"definition": "trend", "regime": ["bull", "bear"], "sharpe": [1.0, -1.0], "low": [0.1, -2.0], "high": 2.0}
    ).assign(p_value_holm=[0.03, 0.9], bars=100)
    for level, symbols in ((0.05, ["circle", "circle-open"]), (0.01, ["circle-open"])):
        drawn = charts.regime_chart(table, level).figure.data
        assert [trace.marker.symbol for trace in drawn if trace.mode == "markers"] == symbols
