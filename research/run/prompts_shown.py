"""What a run writes down of a reader that is asked in words: its prompts, and how it takes orders and company.

Whatever is asked here costs readings, so it is asked of few texts; prompts are rendered and nothing is scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from embargo.backtest.leakage.batch_mates import company_matters
from embargo.data_loaders.fields import CLASSES
from embargo.models.calibration.fitting import Calibration
from embargo.models.content import text_hash
from embargo.models.probes.orders import FORMS, put_orders
from embargo.models.prompt import Prompt, Prompting
from embargo.models.scorer import Scorer
from embargo.models.scorers.cache import ScoreCache
from embargo.models.scorers.score import cached_logits

# Prompts of a fold that are written down: the first of them, then one in ever more.
DRAWN = 256
PROMPT_COLUMNS = ("article_id", "fold", "read_at", "asked", "part", "text", "known_at", "template", "rendered")
ORDER_COLUMNS = ("article_id", "form", "direction", "told", "control")
# What is left of a prompt without its article and its dated items.
FIXED = "fixed"
# Texts of each form of order, and how many orders that makes.
PER_FORM = 2
ORDERS_ASKED = len(FORMS) * PER_FORM
# Longer texts are cut by prompts, and an order behind them with them.
_LONGEST = 400


def shown_prompts(scorer: Scorer, news: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Write down what some of a fold's prompts show.

    Which are drawn hangs on no later article, so that the same are drawn where the future differs.

    Parameters
    ----------
    scorer : Scorer
        One that shows no prompts has none to write down.
    news : DataFrame
        ``article_id, text, known_at``, one row per article.
    fold : int

    Returns
    -------
    DataFrame
        `PROMPT_COLUMNS`, for each prompt one row per example and retrieved article, and a last one, ``part`` `FIXED`,
        whose text is what is left without them and the article; missing where the prompt does not hold its items as it
        lists them. ``read_at`` and ``asked`` (sha256 of its text) are of the article that is asked about.
    """
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in PROMPT_COLUMNS})
    empty = empty.astype({"read_at": "datetime64[us, UTC]", "known_at": "datetime64[us, UTC]", "fold": "int64"})
    if not isinstance(scorer, Prompting) or news.empty:
        return empty
    asked = drawn_articles(news)
    rows: list[tuple[object, ...]] = []
    for article, at, text, prompt in zip(
        asked["article_id"], asked["known_at"], asked["text"], scorer.prompts(asked["text"].tolist()), strict=True
    ):
        own = article, fold, at, text_hash(text)
        told = prompt.template, text_hash(prompt.rendered)
        shown = [item for item in prompt.items if item.part in ("example", "retrieved")]
        rows += [(*own, item.part, item.text, item.known_at, *told) for item in shown]
        rows.append((*own, FIXED, fixed_words(prompt), None, *told))
    made = pd.DataFrame(rows, columns=list(PROMPT_COLUMNS))
    return made.assign(known_at=pd.to_datetime(made["known_at"], utc=True).astype("datetime64[us, UTC]"))


def drawn_articles(news: pd.DataFrame) -> pd.DataFrame:
    """Draw articles: the first 256, then each with a chance of 256 in its place in time, by the hash of its name."""
    ordered = news.sort_values(["known_at", "article_id"], kind="stable")
    chance = np.array([int(text_hash(str(name))[:12], 16) / 16**12 for name in ordered["article_id"]])
    return ordered[chance * np.arange(1, len(ordered) + 1) < DRAWN]


def fixed_words(prompt: Prompt) -> str | None:
    """Return what is left of a prompt without its article and its dated items; None where it does not hold them."""
    kept, place = [], 0
    for item in prompt.items:
        dated = item.part in ("example", "retrieved") and item.known_at is not None
        if not (dated or item.part == "article") or not item.text:
            continue
        start = prompt.rendered.find(item.text, place)
        if start < 0:
            return None
        kept.append(prompt.rendered[place:start])
        place = start + len(item.text)
    return "\n".join([*kept, prompt.rendered[place:]])


def ask_alone(
    scorer: Scorer, calibration: Calibration, texts: Sequence[str], together: np.ndarray
) -> dict[str, np.ndarray]:
    """Ask texts one by one, and once more where company has made a difference.

    Parameters
    ----------
    scorer : Scorer
    calibration : Calibration
    texts : sequence of str
    together : ndarray, shape (texts, 3)
        Probabilities of the same texts when they were read together.

    Returns
    -------
    dict of str to ndarray
        ``alone_bearish``, ... and ``repeated_bearish``, ...; the second of NaN where company made none.
    """
    alone = calibration.apply(np.concatenate([scorer.logits([text]) for text in texts]))
    repeated = np.full_like(alone, np.nan)
    if company_matters(together, alone):
        repeated = calibration.apply(np.concatenate([scorer.logits([text]) for text in texts]))
    return {
        f"{part}_{name}": values[:, place]
        for part, values in (("alone", alone), ("repeated", repeated))
        for place, name in enumerate(CLASSES)
    }


def ask_orders(
    scorer: Scorer,
    calibration: Calibration,
    news: pd.DataFrame,
    *,
    cache: ScoreCache | None = None,
    per_form: int = PER_FORM,
    seed: int = 0,
) -> pd.DataFrame:
    """Put orders into some texts, and read what a scorer makes of them.

    Parameters
    ----------
    scorer : Scorer
        Of one that shows its prompts, what stands behind an article in them, and its label words, are used.
    calibration : Calibration
    news : DataFrame
        ``article_id`` and ``text``, one row per article.
    cache : ScoreCache, optional
    per_form : int
        Texts of each form of order.
    seed : int
        Draws the texts, among those of up to 400 letters where there are any.

    Returns
    -------
    DataFrame
        `ORDER_COLUMNS`, as `embargo.backtest.leakage.check_injection` reads it.
    """
    if news.empty:
        return pd.DataFrame(columns=list(ORDER_COLUMNS))
    short = news[news["text"].str.len() <= _LONGEST]
    chosen = short if len(short) else news
    chosen = chosen.iloc[np.random.default_rng([seed, 5]).permutation(len(chosen))[: len(FORMS) * per_form]]
    marks, labels = "", ("bearish", "bullish")
    if isinstance(scorer, Prompting):
        marks, labels = _marks_of(scorer.prompts([chosen["text"].iloc[0]])[0])
    made = put_orders(chosen["text"].tolist(), marks=marks, labels=labels, per_form=per_form)
    asked = [*made["told"], *made["control"]]
    said = calibration.apply(cached_logits(scorer, asked, cache=cache).logits)
    tilt = (said[:, CLASSES.index("bullish")] - said[:, CLASSES.index("bearish")]).reshape(2, -1)
    names = chosen["article_id"].to_numpy()[made["number"].to_numpy()]
    return made[["form", "direction"]].assign(article_id=names, told=tilt[0], control=tilt[1])[list(ORDER_COLUMNS)]


def _marks_of(prompt: Prompt) -> tuple[str, tuple[str, str]]:
    """Return what stands behind the article in a prompt, and its words for a bearish and a bullish answer."""
    fixed = prompt.rendered.casefold()
    labels = ("bearish", "bullish") if "bullish" in fixed or "positive" not in fixed else ("negative", "positive")
    article = [item.text for item in prompt.items if item.part == "article" and item.text]
    place = prompt.rendered.rfind(article[-1]) if article else -1
    return (prompt.rendered[place + len(article[-1]) :] if place >= 0 else ""), labels
