"""Folders of finished runs as the pipeline leaves them, made of returns that a test knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

YEAR = 252.0


def bars(n: int, start: str = "2019-01-02") -> pd.DatetimeIndex:
    days = pd.bdate_range(start, periods=n, tz="UTC") + pd.Timedelta(hours=14, minutes=30)
    return days.as_unit("us").rename("open_at")


def regimes_on(index: pd.DatetimeIndex) -> pd.DataFrame:
    """Two definitions by position: thirds with a short rest, and halves."""
    place = np.arange(len(index))
    trend = np.where(place < 20, "unlabelled", np.where(place % 120 < 70, "bull", "sideways")).astype(object)
    trend[-30:] = "bear"
    return pd.DataFrame({"trend": trend, "volatility": np.where(place % 80 < 40, "calm", "turbulent")}, index=index)


def made(
    folder: Path,
    returns: np.ndarray,
    *,
    start: str = "2019-01-02",
    status: str = "valid",
    window: str = "w1",
    costs: float = 0.0005,
    labels: pd.DataFrame | None = None,
    judged: pd.DataFrame | None = None,
    name: str = "small",
    years: float = YEAR,
    paid: float | None = None,
) -> Path:
    """Write a run folder and return it; ``paid`` is what each bar paid, as a share of the equity at the start."""
    folder.mkdir(parents=True)
    index = bars(len(returns), start)
    account = pd.DataFrame({"net_return": returns, "equity": np.cumprod(1.0 + returns), "turnover": 0.1}, index=index)
    account.to_parquet(folder / "account.parquet")
    (regimes_on(index) if labels is None else labels).to_parquet(folder / "regimes.parquet")
    if paid is not None:
        parts = pd.DataFrame({"fees": -0.5 * paid, "slippage": -0.75 * paid, "carry": 0.25 * paid}, index=index)
        parts.to_parquet(folder / "over_time.parquet")
    if judged is not None:
        judged.drop(columns="known_at").to_parquet(folder / "classification.parquet")
        judged[["article_id", "known_at"]].to_parquet(folder / "articles.parquet")
    metrics: dict[str, Any] = {"bars_per_year": years, "status": status, "n_trials": 3, "deflated_sharpe": 0.4}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "manifest.json").write_text(json.dumps({"fingerprints": {"test_window": window}, "commit": "c0ffee"}))
    (folder / "config.toml").write_text(
        f"name = {json.dumps(name)}\nseed = 4\n[costs]\nslippage = {costs}\n"
        "[statistics]\nbootstrap = 300\nlevel = 0.95\n[regimes]\nminimum_bars = 60\n"
    )
    return folder


def unsealed(folder: Path) -> Path:
    """Take a run's seal away, as if an earlier version had written it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    kept = {name: value for name, value in manifest.items() if name not in ("files", "seal")}
    (folder / "manifest.json").write_text(json.dumps(kept))
    return folder


def noise(seed: int, n: int = 400, others: int = 1) -> list[np.ndarray]:
    """Returns of a base and of others that move with it (correlation 0.5); all with a Sharpe ratio of 0 in truth."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    return [0.01 * (0.7071 * common + 0.7071 * rng.standard_normal(n)) for _ in range(others + 1)]


def articles(seed: int, skill: float, n: int = 200) -> pd.DataFrame:
    """Labelled articles, two a day, with scores that know as much of the label as told."""
    truth = np.random.default_rng(99).integers(0, 3, n)
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, 3)) * 0.3 + skill * np.eye(3)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    known = pd.date_range("2019-01-02", periods=n, freq="12h", tz="UTC").as_unit("us")
    frame = pd.DataFrame(scores, columns=["bearish", "neutral", "bullish"])
    return frame.assign(article_id=[f"a{number}" for number in range(n)], label=truth, known_at=known)
