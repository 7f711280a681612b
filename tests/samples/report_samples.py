"""Realistic contents of a report, made from a seed alone, for the tests of the page."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from embargo.research.run.report import MetricRow, ReportData

CLASSES = ("bearish", "neutral", "bullish")


def equity_frame(bars: int, seed: int, freq: str = "B") -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    index = pd.date_range("2019-01-02 14:30", periods=bars, freq=freq, tz="UTC").as_unit("us")
    scale = 0.011 if freq == "B" else 0.004
    market = generator.standard_t(5, bars) * scale * 0.8 + scale * 0.03
    own = 0.25 * market + generator.standard_t(5, bars) * scale * 0.5 + scale * 0.05
    returns = np.column_stack([own, market, 0.8 * market + generator.normal(0, scale * 0.3, bars)])
    returns[0] = 0.0
    return pd.DataFrame(
        np.cumprod(1 + returns, axis=0), index=index, columns=["strategy", "buy and hold", "equal weight"]
    )


def regime_frame(index: pd.DatetimeIndex, seed: int) -> pd.DataFrame:
    generator = np.random.default_rng(seed)

    def persistent(labels: tuple[str, ...], stay: float) -> list[str]:
        state, out = 0, []
        for draw, jump in zip(
            generator.random(len(index)), generator.integers(1, len(labels), len(index)), strict=True
        ):
            state = state if draw < stay else (state + int(jump)) % len(labels)
            out.append(labels[state])
        return out

    frame = pd.DataFrame(
        {"trend": persistent(("bull", "bear", "flat"), 0.99), "volatility": persistent(("calm", "turbulent"), 0.985)},
        index=index,
    )
    frame.iloc[:20] = None
    return frame


def regime_table() -> pd.DataFrame:
    rows = [
        ("trend", "bull", 612, 0.486, 1.41, 0.52, 2.31, 0.0021, 0.0105, 0.143, -0.071, 0.541, None),
        ("trend", "bear", 331, 0.263, 0.18, -1.02, 1.37, 0.77, 1.0, 0.019, -0.118, 0.502, None),
        ("trend", "flat", 295, 0.234, 0.62, -0.68, 1.94, 0.35, 0.7, 0.051, -0.064, 0.519, None),
        ("volatility", "calm", 845, 0.671, 1.12, 0.34, 1.92, 0.0049, 0.0196, 0.088, -0.059, 0.533, None),
        (
            "volatility",
            "turbulent",
            393,
            0.312,
            0.55,
            -0.61,
            1.70,
            0.36,
            0.7,
            0.104,
            -0.131,
            0.514,
            "includes March 2020",
        ),
        (
            "liquidity",
            "thin",
            20,
            0.016,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            "too few bars: 20 of at least 60",
        ),
    ]
    columns = ["definition", "regime", "bars", "share", "sharpe", "low", "high", "p_value", "p_value_holm"]
    return pd.DataFrame(rows, columns=[*columns, "annual_return", "max_drawdown", "hit_rate", "note"])


def reliability_frame() -> pd.DataFrame:
    edges = np.linspace(0.3, 1.0, 8)
    rows: list[dict[str, Any]] = []
    for stage, gap, counts in (
        ("before", 0.11, (4, 30, 60, 95, 140, 260, 610)),
        ("after", 0.015, (20, 90, 170, 240, 260, 239, 180)),
    ):
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            middle = float(low + high) / 2
            accuracy = middle - gap * (middle - 0.2) + 0.01 * np.sin(40 * middle)
            rows.append(
                {
                    "lower": low,
                    "upper": high,
                    "confidence": middle,
                    "accuracy": accuracy,
                    "count": count,
                    "accuracy_low": accuracy - 1.96 * np.sqrt(0.24 / count),
                    "accuracy_high": accuracy + 1.96 * np.sqrt(0.24 / count),
                    "stage": stage,
                }
            )
    return pd.DataFrame(rows)


def fold_frame() -> pd.DataFrame:
    rows = []
    for number in range(5):
        start = pd.Timestamp("2016-01-01", tz="UTC") + pd.DateOffset(years=number)
        train_end = start + pd.DateOffset(years=2, months=6)
        validation = train_end + pd.Timedelta("10D")
        validation_end = start + pd.DateOffset(years=3) - pd.Timedelta("10D")
        test = start + pd.DateOffset(years=3)
        bounds = (start, train_end, validation, validation_end, test, test + pd.DateOffset(years=1))
        samples = (11_840 + 310 * number, 2_214 + 40 * number, 4_630 + 75 * number, 118 + number, 64)
        rows.append(
            (number, *bounds, *samples, 3, 1.62 - 0.04 * number, None if number == 4 else 0.741 + 0.006 * number)
        )
    columns = ["fold", "train_start", "train_end", "validation_start", "validation_end", "test_start", "test_end"]
    columns += ["train_samples", "validation_samples", "test_samples", "purged", "embargoed", "epochs", "temperature"]
    return pd.DataFrame(rows, columns=[*columns, "macro_f1"])


def metric_rows() -> tuple[MetricRow, ...]:
    def row(name: str, own: Any, interval: Any, hold: Any, equal: Any, unit: Any, definition: str) -> MetricRow:
        return MetricRow(name, own, interval, {"buy and hold": hold, "equal weight": equal}, unit, definition)

    return (
        row(
            "Sharpe ratio",
            0.9437,
            (0.21, 1.68),
            0.61,
            0.58,
            "ratio",
            "Mean over standard deviation of returns, per year of 252 days; stationary bootstrap, 95%.",
        ),
        row(
            "Deflated Sharpe ratio",
            0.871,
            None,
            None,
            None,
            "probability",
            "One less the one-sided p against the luckiest of 24 worthless trials.",
        ),
        row("Sortino ratio", 1.312, (0.28, 2.41), 0.84, 0.80, "ratio", "Mean over downside deviation, per year."),
        row("Return a year", 0.0812, (0.017, 0.146), 0.0921, 0.0874, "percent", "Geometric, after costs."),
        row("Volatility a year", 0.0863, None, 0.1622, 0.1548, "percent", "Standard deviation of returns, per year."),
        row(
            "Maximum drawdown",
            -0.1310,
            (-0.24, -0.08),
            -0.3391,
            -0.3204,
            "percent",
            "Deepest fall from the highest value so far.",
        ),
        row("Hit rate", 0.5262, (0.498, 0.554), 0.5410, 0.5385, "percent", "Share of bars with a gain."),
        row(
            "Turnover a year",
            38.4,
            None,
            0.0,
            0.6,
            "ratio",
            "Sum of absolute changes of weights, in multiples of equity.",
        ),
        row("Cost a year", 0.0154, None, 0.0, 0.0002, "percent", "Fees, slippage and borrow over mean equity."),
        row(
            "Break-even cost",
            21.4,
            None,
            None,
            None,
            "number",
            "Cost per unit traded, in basis points, at which the return is zero.",
        ),
        row(
            "Information coefficient",
            0.0214,
            (0.006, 0.037),
            None,
            None,
            "probability",
            "Rank correlation of signal and next return, HAC interval.",
        ),
        row("Trades", 12_481, None, 12, 480, "count", "Orders filled."),
        row(
            "SPA p-value, one-sided",
            0.0342,
            None,
            None,
            None,
            "probability",
            "Superior predictive ability against buy and hold, Hansen 2005.",
        ),
        row(
            "Permutation p-value, one-sided",
            0.0004,
            None,
            None,
            None,
            "probability",
            "Share of permutations with at least this Sharpe ratio.",
        ),
    )


def findings(leaky: bool) -> list[dict[str, Any]]:
    leak = {
        "code": "T5",
        "verdict": "leak",
        "title": "After-close news traded on the same close",
        "detail": "Articles published after the close of a bar changed the weights held during that bar. "
        "Moving them one bar later removes 71% of the Sharpe ratio.",
        "evidence": [
            {
                "article_id": "a-20319",
                "symbol": "ACME",
                "known_at": pd.Timestamp("2021-03-05 21:42", tz="UTC"),
                "row": pd.Timestamp("2021-03-05 14:30", tz="UTC"),
                "weight_before": 0.0312,
                "weight_after": -0.0104,
            },
            {
                "article_id": "a-20344",
                "symbol": "GLOBEX",
                "known_at": pd.Timestamp("2021-03-08 21:05", tz="UTC"),
                "row": pd.Timestamp("2021-03-08 14:30", tz="UTC"),
                "weight_before": 0.0,
                "weight_after": 0.0251,
            },
        ],
        "effect": 0.67,
        "unit": "Sharpe ratio a year",
        "remedy": "Align articles with decided_at of the bar, not with its date; see embargo.signals.alignment.",
    }
    others = [
        {
            "code": "M1",
            "verdict": "pass",
            "title": "Declared knowledge cutoff lies before the test",
            "detail": "Cutoff 2018-12-21, first test bar 2019-01-02.",
            "evidence": [],
            "remedy": "",
        },
        {
            "code": "D5",
            "verdict": "suspicious",
            "title": "Near-duplicate headlines across a split",
            "detail": "41 clusters (0.9% of the test articles) have a member in training.",
            "evidence": [
                {
                    "cluster": 17,
                    "train": "Globex raises its outlook for the year",
                    "test": "Globex raises outlook for year",
                }
            ],
            "remedy": "Deduplicate before splitting, or drop the later copies.",
        },
        {
            "code": "S3",
            "verdict": "pass",
            "title": "Embargo covers the memory of the signal",
            "detail": "Half-life 2 days, embargo 10 days.",
            "evidence": [],
            "remedy": "",
        },
        {
            "code": "T1",
            "verdict": "pass",
            "title": "No fill before its decision",
            "detail": "12,481 fills checked.",
            "evidence": [{"fills": 12_481, "violations": 0}],
            "remedy": "",
        },
        {
            "code": "P2",
            "verdict": "inconclusive",
            "title": "Trials on this window",
            "detail": "The ledger holds 24 trials, but was started after the first experiments.",
            "evidence": [],
            "remedy": "State how many trials were made before the ledger.",
        },
        {
            "code": "T8",
            "verdict": "not-applicable",
            "title": "Funding at settlement",
            "detail": "No perpetuals were traded.",
            "evidence": [],
            "remedy": "",
        },
    ]
    return [*others[:2], *([leak] if leaky else []), *others[2:]]


def permutation(seed: int) -> dict[str, Any]:
    null = np.random.default_rng(seed).normal(0.02, 0.36, 2_000)
    counts, edges = np.histogram(null, bins=40)
    return {
        "observed": 0.9437,
        "counts": counts,
        "edges": edges,
        "p_value": 0.0045,
        "quantiles": {
            0.05: float(np.quantile(null, 0.05)),
            0.5: float(np.quantile(null, 0.5)),
            0.95: float(np.quantile(null, 0.95)),
        },
        "statistic": "annual Sharpe ratio",
        "permutations": 2_000,
        "method": "News was moved between dates in blocks of 10 days, within each symbol; signal, weights and costs "
        "were computed again.",
    }


def sample(status: str = "valid", bars: int = 1_258, freq: str = "B", seed: int = 7, **changes: Any) -> ReportData:
    """Contents of a report of a plausible run; `changes` replaces fields."""
    equity = equity_frame(bars, seed, freq)
    words: dict[str, tuple[str | None, str]] = {
        "valid": (None, "The signal earns a little, beyond what chance explains"),
        "caution": (
            "CAUTION: the base model may remember this period",
            "A profit, but the base model may remember this period",
        ),
        "invalid": (
            "INVALID: the audit found a leak (T5); no figure on this page can be trusted",
            "The audit found a leak",
        ),
    }
    stamp, title = words.get(status, words["valid"])
    data = ReportData(
        name="Overnight news tilt, XNYS 88, QLoRA r8",
        status=status,  # type: ignore[arg-type]
        stamp=stamp,
        verdict_headline=title,
        verdict_text="After costs the strategy earned a Sharpe ratio of 0.94 a year, with an interval of 0.21 to 1.68. "
        "News moved to other dates does as well in 9 of 2,000 draws. The profit came in rising and calm markets; in "
        "falling ones it cannot be told from zero. Among the 24 trials in the ledger a Sharpe ratio this high has "
        "p = 0.130, one-sided.",
        headline=[
            ("Sharpe ratio a year", "0.94", "0.21 to 1.68, stationary bootstrap 95%"),
            ("Deflated Sharpe ratio", "0.87", "1 − p, one-sided, 24 trials in the ledger"),
            ("Return a year", "8.1%", "after costs of 1.5% a year"),
            ("Maximum drawdown", "−13.1%", "2020-03-09, 74 bars to recover"),
            ("Permutation p, one-sided", "0.004", "2,000 block permutations of the news"),
            ("Break-even cost", "21 bp", "per unit traded; 8 bp were charged"),
        ],
        metrics=metric_rows(),
        equity=equity,
        regimes=regime_frame(pd.DatetimeIndex(equity.index), seed + 1),
        regime_table=regime_table(),
        reliability=reliability_frame(),
        confusion=pd.DataFrame([[812, 166, 41], [203, 1_931, 187], [38, 149, 1_103]], index=CLASSES, columns=CLASSES),
        classification={
            "articles": 4_630,
            "days": 1_015,
            "accuracy": (0.8306, 0.8141, 0.8462),
            "macro_f1": (0.8243, 0.8061, 0.8408),
            "weighted_f1": (0.8310, 0.8144, 0.8466),
            "matthews_correlation": (0.7291, 0.7024, 0.7552),
            "mean_auc": (0.9412, 0.9318, 0.9490),
            "mean_confidence": 0.824,
            "confidence_equals_accuracy": "p = 0.214, two-sided",
            "ece": 0.021,
            "brier": 0.262,
            "log_loss": 0.442,
            "majority_accuracy": 0.501,
            "majority_macro_f1": 0.223,
            "bearish": {
                "precision": 0.771,
                "recall": 0.797,
                "f1": 0.784,
                "f1_interval": "0.76 to 0.81",
                "support": 1_019,
            },
            "neutral": {
                "precision": 0.860,
                "recall": 0.832,
                "f1": 0.846,
                "f1_interval": "0.83 to 0.86",
                "support": 2_321,
            },
            "bullish": {
                "precision": 0.829,
                "recall": 0.855,
                "f1": 0.842,
                "f1_interval": "0.82 to 0.86",
                "support": 1_290,
            },
        },
        permutation=permutation(seed + 2),
        folds=fold_frame(),
        findings=findings(status == "invalid"),
        counts={
            "load": {
                "articles_without_a_date": 31,
                "articles_before_the_first_bar": 204,
                "repeated_article_and_symbol": 12,
            },
            "align": {"articles_after_the_last_decision": 18, "symbols_without_prices": 0},
            "split": {"samples_purged": 590, "samples_embargoed": 320},
            "simulate": {"orders_capped_by_volume": 46, "bars_without_a_price": 7},
        },
        config={
            "name": "overnight-news-tilt",
            "seed": 7,
            "notes": None,
            "data": {"news": "news.parquet", "prices": "prices.parquet", "calendar": "XNYS", "latency": "5min"},
            "tuning": {
                "method": "qlora",
                "rank": 8,
                "alpha": 16,
                "targets": ["q_proj", "v_proj"],
                "epochs": 3,
                "rate": 2e-4,
            },
            "costs": {"fee": 0.0002, "slippage": 0.0006, "borrow": 0.01, "participation": 0.05},
        },
        manifest={
            "commit": "3f2a91c0d4b7e6a58890cc21d7be40f2a1d9e377",
            "fingerprints": {
                "news": "sha256:9d0c2f7be1a4438fa6fb5e2f94b0c7d1e83a5527cc9016d0f2ab4cbe71d0943a",
                "prices": "sha256:17be55aa0f3c9d2e4b6871d0a9fe23c45b60d8812ee47fa3c5d6b7e8f9012ab3",
            },
            "versions": {"python": "3.11.7", "torch": "2.13.0", "transformers": "5.23.0", "vectorbt": "1.2.0"},
            "seeds": {"run": 7, "bootstrap": 11, "permutation": 13},
        },
    )
    return dataclasses.replace(data, **changes)
