"""The audit takes the instants of news, and what a word list makes of them, from the news themselves."""

from __future__ import annotations

import pandas as pd
import pytest

from embargo.backtest.leakage import check_tradable_instants
from embargo.data_loaders.schemas import validate_news
from embargo.research.run.audit import known_since
from embargo.research.run.data_verdict import tone_of

OPEN_AT = pd.date_range("2024-03-04 14:30", periods=3, freq="D", tz="UTC", unit="us")


@pytest.fixture
def news() -> pd.DataFrame:
    at = OPEN_AT[[0, 0]] - pd.Timedelta(hours=1)
    return validate_news(
        pd.DataFrame(
            {
                "article_id": ["early", "late"],
                "symbol": "A",
                "source": "wire",
                "text": ["Strong profit and a gain.", "Losses, fraud and a bankruptcy."],
                "published_at": at,
                # The second was seen when the market was open.
                "seen_at": at + pd.to_timedelta([60, 7200], unit="s"),
            }
        )
    )


def test_stamps_that_a_reading_brought_forward_are_seen(news: pd.DataFrame) -> None:
    as_published = news.assign(known_at=news["published_at"], row=0)
    known = known_since(as_published, news)
    assert known.equals(news["known_at"])
    bars = OPEN_AT - pd.Timedelta(minutes=5), OPEN_AT, OPEN_AT + pd.Timedelta(hours=6)
    # By its own stamps the reading looks ahead of nothing.
    assert check_tradable_instants(as_published, *bars).verdict == "pass"
    finding = check_tradable_instants(as_published.assign(known_at=known), *bars)
    assert (finding.verdict, [row["article_id"] for row in finding.evidence]) == ("leak", ["late"])


def test_stamps_that_a_reading_put_off_and_articles_that_are_not_in_the_news_keep_theirs(news: pd.DataFrame) -> None:
    later = news.assign(known_at=news["known_at"] + pd.Timedelta(days=1), article_id=["early", "other"])
    assert known_since(later.iloc[::-1], news).equals(later.iloc[::-1]["known_at"])


def test_the_word_list_knows_good_from_bad(news: pd.DataFrame) -> None:
    again = pd.concat([news, news.assign(text="The board met.")], ignore_index=True)
    tone = tone_of(again)
    assert tone.iloc[0] > 0.5
    assert tone.iloc[1] < -0.5
    assert tone.iloc[2:].tolist() == [0.0, 0.0]
    assert tone.index.equals(again.index)
