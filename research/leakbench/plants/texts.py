"""Plants in the texts: outcomes told in words or numbers, later dates, revised bodies, sources that know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from embargo.data_loaders.calendars import decision_times
from embargo.data_loaders.schemas import validate_news
from embargo.research.leakbench.plants.plant import Plant, Planted, with_inputs
from embargo.research.leakbench.plants.timing import some
from embargo.research.leakbench.worlds import Clean
from embargo.research.run.world import Inputs

_TOLD = "words that are right too often are S7, a text edited with the answer at hand is D1: one archive"


def earned_after(inputs: Inputs, clean: Clean) -> np.ndarray:
    """Return what each article's symbol earned from the first open anybody could trade to the next; NaN for none."""
    prices = inputs.prices
    decided_at = decision_times(prices.open_at, pd.Timedelta(clean.config.prices.latency))
    row = decided_at.searchsorted(pd.DatetimeIndex(inputs.news["known_at"]))
    column = prices.open.columns.get_indexer(pd.Index(inputs.news["symbol"]))
    opens = prices.open.to_numpy()
    inside = (row + 1 < len(opens)) & (column >= 0)
    row = np.where(inside, row, 0)
    return np.where(inside, opens[np.minimum(row + 1, len(opens) - 1), column] / opens[row, column] - 1.0, np.nan)


def _appended(write: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Callable[..., Planted]:
    """Add to some texts what is written from what they earned."""

    def change(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
        earned = earned_after(inputs, clean)
        rows = some(inputs, dose, rng) & np.isfinite(earned)
        news = inputs.news.copy()
        news["text"] = news["text"].where(~rows, news["text"] + " " + pd.Series(write(earned, rng), index=news.index))
        return replace(inputs, news=news)

    return with_inputs(change)


def _in_words(earned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    up = np.array(["Shares gained strongly afterwards.", "The stock rebounded.", "Shares rewarded investors."])
    down = np.array(["Shares declined afterwards.", "The stock posted losses.", "Weak shares disappointed investors."])
    way = rng.integers(0, 3, len(earned))
    return np.where(earned > 0, up[way], down[way]).astype(object)


def _in_numbers(earned: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return np.array([f"Shares {'gained' if move > 0 else 'declined'} {abs(move):.1%} on the day." for move in earned],
                    dtype=object)  # fmt: skip


def _as_a_tag(earned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tag by the vendor's measure of impact, which was computed from what followed, with noise as large."""
    noisy = earned + rng.normal(0.0, np.nanstd(earned), len(earned))
    level = np.digitize(noisy, [-0.02, -0.005, 0.005, 0.02])
    tags = np.array(
        ["impact: very adverse", "impact: adverse", "impact: none", "impact: strong", "impact: very strong"]
    )
    return np.asarray(tags[level], dtype=object)


def _dated_later(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Let texts name a day some weeks after their own stamp, as an edited body does."""
    news, rows = inputs.news.copy(), some(inputs, dose, rng)
    later = news["published_at"] + pd.to_timedelta(rng.integers(5, 60, len(news)), unit="D")
    named = "Updated " + later.dt.strftime("%d %B %Y") + ": " + news["text"]
    news["text"] = news["text"].where(~rows, named)
    return replace(inputs, news=news)


def _rewritten(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Keep the first date and take the body of a later version: one of another day whose mood fits what followed."""
    earned, news = earned_after(inputs, clean), inputs.news.copy()
    mood = clean.truth.sentiment.reindex(news["article_id"]).to_numpy()
    rows = some(inputs, dose, rng) & np.isfinite(earned) & (np.abs(earned) > 0.004)
    texts = news["text"].to_numpy(dtype=object, copy=True)
    names = news["symbol"].to_numpy()
    for row in np.flatnonzero(rows):
        fitting = np.flatnonzero((names == names[row]) & (np.sign(mood) == np.sign(earned[row])) & (np.abs(mood) > 0.4))
        if len(fitting):
            texts[row] = news["text"].iloc[int(rng.choice(fitting))]
    return replace(inputs, news=validate_news(news.assign(text=texts).drop(columns="known_at")))


def _one_that_knows(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Let one source out of all rewrite its archive: its words fit what followed."""
    first = sorted(inputs.news["source"].unique())[0]
    own = (inputs.news["source"] == first).to_numpy()
    told = _rewritten(inputs, clean, dose, rng)
    text = told.news.set_index(["article_id", "symbol"])["text"]
    keys = pd.MultiIndex.from_frame(inputs.news[["article_id", "symbol"]])
    news = inputs.news.assign(text=inputs.news["text"].where(~own, text.reindex(keys).to_numpy()))
    return replace(inputs, news=news)


def _echo(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Write a report of the session's move, and stamp it at half an hour before the session."""
    prices, news = inputs.prices, inputs.news.drop(columns="known_at")
    move = (prices.close / prices.open - 1.0).to_numpy()
    row, column = np.nonzero(np.isfinite(move) & (rng.random(move.shape) < 0.3 * dose))
    at = prices.open_at[row] - pd.Timedelta(minutes=30)
    symbol = np.asarray(prices.symbols, dtype=object)[column]
    verb = np.where(move[row, column] > 0, "posts gains in strong trading", "posts losses in weak trading")
    texts = [
        f"{name} {what}, {abs(size):.1%} on the day"
        for name, what, size in zip(symbol, verb, move[row, column], strict=True)
    ]
    label = np.where(move[row, column] > 0, "bullish", "bearish").astype(object)
    reports = pd.DataFrame(
        {"article_id": [f"echo-{place}" for place in range(len(row))], "published_at": at, "seen_at": at,
         "symbol": symbol, "text": texts, "source": "Closing Report", "label": label}
    )  # fmt: skip
    return replace(inputs, news=validate_news(pd.concat([news, reports], ignore_index=True)))


def _dropped(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Leave out articles that turned out to mislead."""
    earned = earned_after(inputs, clean)
    mood = clean.truth.sentiment.reindex(inputs.news["article_id"]).to_numpy()
    wrong = np.sign(mood) * earned < 0
    kept = ~(wrong & (np.abs(mood) > 0.3) & some(inputs, dose, rng))
    return replace(inputs, news=inputs.news.loc[kept].reset_index(drop=True))


PLANTS = (
    Plant("outcome in words", "D1", "texts say in words what the price did next; dose: share of texts", "word list",
          _appended(_in_words), (0.5, 0.2, 0.05), also={"S7": _TOLD}),
    Plant("outcome in numbers", "D1", "texts say by how many percent the price moved next; dose: share of texts",
          "word list", _appended(_in_numbers), (0.5, 0.2, 0.05), also={"S7": _TOLD, "S9": "the text tells the move"}),
    Plant("later dates", "D1", "texts name a day weeks after their own stamp; dose: share of texts", "word list",
          with_inputs(_dated_later), (0.2, 0.05, 0.01), data=("later-dates-in-the-text",)),
    Plant("later versions", "D1", "texts are those of later versions that fit what followed; dose: share of texts",
          "word list", with_inputs(_rewritten), (1.0, 0.3, 0.1), also={"S7": _TOLD}),
    Plant("a source that knows", "D1", "texts of one source in eight fit what followed; dose: share of its texts",
          "word list", with_inputs(_one_that_knows), (1.0, 0.3), also={"S7": _TOLD}),
    Plant("impact tags", "S7", "texts carry a vendor's tag made from the next return and as much noise; dose: share of "
          "texts", "labels of returns", _appended(_as_a_tag), (1.0, 0.3, 0.1), also={"D1": _TOLD}),
    Plant("reports of the same bar", "S9", "reports of a session's move are stamped before it; dose: of a report for "
          "every third bar", "word list", with_inputs(_echo), (1.0, 0.3, 0.1),
          also={"D1": "moves told before they happen", "S7": _TOLD, "T5": "news after the close on the same day",
                "T4": "a source whose clock is wrong"}),
    Plant("misleading news left out", "P4", "articles that turned out to mislead are left out; dose: share of them",
          "word list", with_inputs(_dropped), (1.0, 0.3, 0.1),
          also={"D1": "the archive was edited with the answer at hand", "S7": _TOLD}),
)  # fmt: skip
