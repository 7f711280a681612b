#!/bin/sh
# backtesting 0.6.6: `resample_apply` by the week or month knows on its last day, from midnight on, how that day closes.
#
# It gives a strategy on hourly bars an indicator of a longer frame, and its text says that it puts the right label on
# each so that it does not look ahead. By "D" or "4h" that holds. By "W-FRI", "W", "ME" or "QE" pandas labels the frame
# with its last day at midnight, and counts all of that day in: on Friday at 00:00 the strategy has the close of 23:00.
# A rule that buys where this hour's close lies under the frame's makes 4 % by "W-FRI" where the price falls by 37 % and
# the same rule by "D" loses 17 %. With daily bars nothing shows, since there the day is one bar.
# Seen on 2026-11-30, Python 3.11, pandas 3.1.1: 120 days of hourly prices of a random walk without drift.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

import backtesting
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy
from backtesting.lib import resample_apply

warnings.filterwarnings("ignore")
backtesting.backtesting._tqdm = lambda bars, **_: bars
hours = pd.date_range("2024-01-01", periods=24 * 120, freq="h")
close = 100.0 * np.exp(np.random.default_rng(0).normal(0.0, 0.005, len(hours)).cumsum())
bars = pd.DataFrame({"Open": np.r_[100.0, close[:-1]], "High": close, "Low": close, "Close": close, "Volume": 1.0}, index=hours)
bars["High"], bars["Low"] = bars[["Open", "Close"]].max(axis=1), bars[["Open", "Close"]].min(axis=1)
known = {}


class BelowItsFrame(Strategy):
    rule = "D"

    def init(self) -> None:
        self.frame = resample_apply(self.rule, None, self.data.Close)
        known[self.rule] = np.asarray(self.frame, dtype=float)

    def next(self) -> None:
        below = self.frame[-1] > self.data.Close[-1]
        if below and not self.position:
            self.buy()
        elif not below and self.position:
            self.position.close()


ahead = {}
for rule in ("D", "4h", "W-FRI", "ME"):
    earned = Backtest(bars, BelowItsFrame, finalize_trades=True).run(rule=rule)["Return [%]"]
    place = {price: row for row, price in enumerate(close)}
    rows = [(row, place[price]) for row, price in enumerate(known[rule]) if price in place and place[price] > row]
    ahead[rule] = (len(rows), max((later - row for row, later in rows), default=0))
    first = hours[rows[0][0]] if rows else "never"
    print(f"backtesting {backtesting.__version__}, {rule}: {ahead[rule][0]} bars know a later close, up to {ahead[rule][1]} hours "
          f"ahead, first {first}; earned {earned:.0f} % (the price {100 * (close[-1] / close[0] - 1):.0f} %)")
sys.exit(ahead != {"D": (0, 0), "4h": (0, 0), "W-FRI": (17 * 23, 23), "ME": (3 * 23, 23)})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile backtesting==0.6.6 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
