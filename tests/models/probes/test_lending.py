"""Another day's news told of a company and a date: nothing of the lender's names and dates is left, nor of the news."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embargo.data_loaders.errors import DataError
from embargo.models.probes import Entities, lend_news, mask
from embargo.research.benchmarks.memory_worlds import ENTITIES, NAMES, make_world

WHO = Entities({"AAPL": ["Apple Inc."], "F": ["Ford Motor Co"], "BTC/USDT": []}, {"AAPL": ["iPhone"]})
AT = pd.to_datetime(["2019-05-07"], utc=True)


@pytest.mark.parametrize(
    ("lender", "told"),
    [
        ("Apple rose on 2021-03-04", "Ford Motor rose on 2019-05-07"),
        ("AAPL (NASDAQ: AAPL) and $AAPL", "2019-05-07 F (NASDAQ: F) and $F"),
        ("The iPhone sells in March 2021", "F The iPhone sells in May 2019"),
        ("20210304 BTC/USDT falls; on March 4, up; 4 Mar 2021", "20190507 F falls; on May 07, up; 07 May 2019"),
        ("Apple in Q3 2021", "2019-05-07 Ford Motor in Q3 2021"),
        ("Nothing happens", "F 2019-05-07 Nothing happens"),
        ("Apple, 29 February", "Ford Motor, 07 May"),
    ],
)
def test_the_lenders_company_and_date_are_those_asked_about(lender: str, told: str) -> None:
    assert lend_news([lender], [0], ["F"], AT, WHO) == [told]


def test_whoever_has_no_name_is_called_by_the_symbol() -> None:
    assert lend_news(["Apple rose in 2021"], [0], ["BTC/USDT"], AT, WHO) == ["BTC/USDT rose in 2019"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_only_the_news_of_the_lender_are_left(seed: int) -> None:
    articles = make_world(seed, days=20).articles
    texts, n = articles["text"].tolist(), len(articles)
    lenders = [(row + n // 2) % n for row in range(n)]
    told = lend_news(texts, lenders, articles["symbol"].tolist(), articles["at"], ENTITIES)
    assert mask(told, ENTITIES) == [mask([texts[lender]], ENTITIES)[0] for lender in lenders]
    for text, symbol, at in zip(told, articles["symbol"], articles["at"], strict=True):
        assert f"{symbol} {at:%Y%m%d} {NAMES[symbol][1]} " in text


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="1 lenders, 2 symbols"):
        lend_news(["a text"], [0], ["F", "F"], AT, WHO)
