# %% [markdown]
# # A strategy that leaks
#
# It earns a Sharpe ratio that few have. The audit says why and names the first row that moves, and what is left once it
# is mended is judged.

# %%
import embargo
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market

market = simulate_market(SimulatedMarket(n_symbols=6, start="2017-01-01", end="2018-12-31"))
news, prices = market.news, market.prices

# %% [markdown]
# News of a day is joined to the bar of that day. It looks harmless, and many articles come out after the open.


# %%
SIDES = {"bearish": -1.0, "neutral": 0.0, "bullish": 1.0}


def panel(rows, news, prices):
    tone = news["label"].map(SIDES).groupby([rows, news["symbol"]]).sum().unstack(fill_value=0.0).clip(-1, 1)
    tone = tone.reindex(index=range(len(prices.close)), columns=prices.close.columns, fill_value=0.0)
    return tone.set_axis(prices.close.index) / len(prices.close.columns)


def by_date(news, prices):
    return panel(prices.open_at.normalize().get_indexer(news["known_at"].dt.normalize()), news, prices)


leaky = embargo.backtest(by_date(news, prices), prices, trials=1)
print(f"Sharpe ratio {leaky.sharpe.sharpe:.1f} after costs")

# %% [markdown]
# `embargo.audit` calls the function with other futures: what it decided before must stay as it was.

# %%
found = embargo.audit(signal=by_date, news=news, prices=prices, rows=3)
proven = found[found["verdict"] == "leak"]
for leak in proven.itertuples():
    print(f"{leak.code}: {leak.title}\n{leak.detail.partition(';')[0]}")

# %% [markdown]
# Mended, an article moves the first row that is decided after it was known.


# %%
def when_known(news, prices):
    decided_at = prices.open_at - embargo.data_loaders.length_of("5min")
    return panel(decided_at.searchsorted(news["known_at"]), news, prices)


embargo.assert_causal(when_known, news=news, prices=prices, n_rows=4)
mended = embargo.backtest(when_known(news, prices), prices, trials=2)
print(f"Sharpe ratio {mended.sharpe.sharpe:.1f} after costs")

# %% [markdown]
# What it earned was the leak: held for one bar, what is left does not pay for its trades. What no function can show,
# such as labels that were made later, only the audit of a whole run asks.
