"""What the model of each fold was really fitted on, by its record, beside what it was planned to be fitted on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from embargo.backtest.leakage.prompts import SHOWN
from embargo.models.content import text_hash
from embargo.research.run.plan import Plan, background_of
from embargo.research.run.samples import Part


def record_of(fitted_on: pd.DataFrame, part: Part) -> pd.DataFrame | None:
    """Return everything that one fold's model and thresholds were fitted on; None where its model kept no record."""
    own = fitted_on.loc[fitted_on["fold"] == part.index].drop(columns="fold")
    if own.empty:
        return None
    return own if part.thresholds_on is None else pd.concat([own, part.thresholds_on], ignore_index=True)


def learnt_from(record: pd.DataFrame | None, part: Part, news: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Name the articles that training and validation really read; the planned ones where there is no record."""
    if record is None:
        return part.train, part.validation
    news = news.loc[news["text_hash"].isin(record["text_hash"].unique())]
    news = news.assign(text_hash=news["text_hash"].astype("str"))
    exact = record.merge(news, on=["text_hash", "known_at"], how="left").drop_duplicates(
        ["use", "text_hash", "known_at"]
    )
    by_text = news.drop_duplicates("text_hash").set_index("text_hash")
    articles = exact["article_id"].fillna(exact["text_hash"].map(by_text["article_id"])).fillna(exact["text_hash"])
    known_at = exact["known_at"].fillna(exact["text_hash"].map(by_text["known_at"]))
    found = pd.DataFrame({"article_id": articles, "known_at": known_at, "use": exact["use"]}).dropna(subset="known_at")
    taught = found["use"].isin(["optimiser", "threshold", "taught", "base", *SHOWN])
    return found[taught], found[~taught]


def planned_for(plan: Plan, part: Part) -> pd.DataFrame:
    """Return the hashes and labels of what one fold's model was to be fitted on."""
    used = pd.concat([part.train, part.validation])
    if plan.config.model.teacher is not None:
        # A student learns from texts that nobody labelled, too.
        used = pd.concat([used, background_of(plan, part).assign(label=-1)])
    used = pd.concat([used, *(each.planned for each in plan.instructed)])
    return pd.DataFrame({"text_hash": used["text"].map(text_hash), "label": used["label"]})


def hashed_news(plan: Plan, fitted_on: pd.DataFrame) -> pd.DataFrame:
    """List the articles with the hashes of their texts as categories, which are found many times faster than words.

    A text that no record holds is told apart from others by a number in the place of its hash.
    """
    news = plan.world.news[["article_id", "text", "known_at"]].drop_duplicates("article_id")
    codes, texts = pd.factorize(news["text"])
    parts = plan.parts
    # One labelled file serves all folds.
    learnt = {id(own): own["text"] for part in parts for own in (part.train, part.validation, part.test)}
    labelled = pd.Index(pd.concat(list(learnt.values())).unique(), dtype="str")
    known = [text_hash(text) for text in labelled.tolist()]
    fits = [fitted_on, *(part.thresholds_on for part in parts if part.thresholds_on is not None)]
    read = {name for fit in fits for name in fit["text_hash"].unique()}
    # Where all that was read is labelled, no other text can have the hash of one that was read.
    if read <= set(known):
        place = pc.index_in(pa.array(texts, pa.large_string()), pa.array(labelled, pa.large_string()))
        numbers = pa.array(np.arange(len(texts))).cast(pa.large_string())
        found = pa.array(known, pa.large_string()).take(place)
        hashes = pd.Index(pc.coalesce(found, numbers).to_pandas(), dtype="str")
    else:
        hashes = pd.Index([text_hash(text) for text in texts.tolist()], dtype="str")
    # Whoever hashes less than the whole text gives one hash to several.
    places, distinct = pd.factorize(hashes)
    return news.assign(text_hash=pd.Categorical.from_codes(places[codes], distinct)).reset_index(drop=True)
