# %% [markdown]
# # From a signal of your own to a verdict
#
# Ten lines take a function of news and prices from an idea to a judgement: is it causal, what does it earn after costs,
# and what does chance make of it? The market is simulated and small, and follows its news more than real ones do.

# %%
import embargo
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market

market = simulate_market(SimulatedMarket(n_symbols=6, start="2016-01-01", end="2017-12-31", strength=3.0))
print(f"{len(market.news)} articles, {market.prices.close.shape[0]} bars of {market.prices.close.shape[1]} symbols")

# %% [markdown]
# The signal counts good and bad words and lets them fade. An article may move the first row that is decided after it
# was known: that is the whole art of not looking ahead. Row *t* of the weights is what is held from the open of bar t.

# %%
GOOD = r"\b(?:strong|gains|successful|profitable|improved|healthy|rebound|lifts|beats|solid|favorable)\b"
BAD = r"\b(?:weak|litigation|soft|cuts|adverse|shortfall|misses|losses|troubling|disappoint\w*|recall)\b"


def words(news, prices):
    tone = (news["text"].str.count(GOOD) - news["text"].str.count(BAD)).clip(-1, 1).astype(float)
    decided_at = prices.open_at - embargo.data_loaders.length_of("5min")
    first = decided_at.searchsorted(news["known_at"])  # the first row that each article may move
    told = tone.groupby([first, news["symbol"]]).sum().unstack(fill_value=0.0)
    told = told.reindex(index=range(len(decided_at)), columns=prices.close.columns, fill_value=0.0)
    held = told.set_axis(prices.close.index).ewm(halflife=4.0).mean()
    return held.div(held.abs().sum(axis=1).clip(lower=1.0), axis=0)


# %% [markdown]
# First the question that comes before every figure: does a row move when what comes after it changes? `assert_causal`
# raises a `LeakError` with the first row that does.

# %%
print(embargo.assert_causal(words, prices=market.prices, news=market.news, n_rows=4).detail)

# %% [markdown]
# Then money: fills at the next open, 5 basis points of commission and as much of half-spread on every trade, and a
# judgement of what is left.

# %%
weights = words(market.news, market.prices)
alone = embargo.backtest(weights, market.prices, trials=1)
sharpe = alone.sharpe
print(f"Sharpe ratio {sharpe.sharpe:.1f} after costs, 95 % interval {sharpe.low:.1f} to {sharpe.high:.1f}")

# %% [markdown]
# Had this been the best of fifty word lists, the Sharpe ratio would be the same, and worth less.

# %%
picked = embargo.backtest(weights, market.prices, trials=50)
for name, judged in (("one attempt", alone.judgement), ("the best of fifty", picked.judgement)):
    print(f"p, {name}: {judged.chance['adjusted_p_value']:.3f}")
