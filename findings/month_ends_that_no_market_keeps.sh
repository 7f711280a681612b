#!/bin/sh
# bt 1.4.1: target weights dated by the end of the month are dropped in each month that ends on a weekend.
#
# `WeighTarget` takes a table of weights by date. A row whose date is no bar is passed over without a word: not traded
# on the bar after, not counted, and the old weights are kept until the next row that falls on a bar. pandas dates
# monthly figures by the calendar ("ME"), so that of 24 months of 2020 and 2021 seven are lost. Here the weights turn
# between two shares each month; held as asked the account doubles, with the seven lost it does not.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import bt
import numpy as np
import pandas as pd

days = pd.bdate_range("2020-01-01", "2021-12-31")
ends = pd.date_range("2020-01-31", "2021-12-31", freq="ME")
month = (days.year - 2020) * 12 + days.month - 1
rise = np.where(month.to_numpy()[:, None] % 2 == [1, 0], 0.0015, -0.0015)  # each share rises every other month
prices = pd.DataFrame(100 * np.exp(np.cumsum(rise, axis=0)), index=days, columns=["a", "b"])
weights = pd.DataFrame({"a": [1.0, 0.0] * 12, "b": [0.0, 1.0] * 12}, index=ends)
ends_with_a_bar = pd.DatetimeIndex([days[days <= day][-1] for day in ends])


def run(table):
    heard = []

    class Heard(bt.Algo):
        def __call__(self, target):
            heard.append(target.now)
            return True

    steps = [bt.algos.SelectAll(), bt.algos.WeighTarget(table), Heard(), bt.algos.Rebalance()]
    result = bt.run(bt.Backtest(bt.Strategy("s", steps), prices))
    return len(heard), round(float(result.prices["s"].iloc[-1] / 100), 2)


found = {"calendar": run(weights), "last bar": run(weights.set_axis(ends_with_a_bar))}
for name, (heard, grown) in found.items():
    print(f"bt {bt.__version__}, dated by the {name} of the month: {heard} of {len(ends)} rows traded, account times {grown}")
sys.exit(found["calendar"][0] != 17 or found["last bar"][0] != 24 or found["calendar"][1] >= found["last bar"][1])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile bt==1.4.1 ffn==1.4.1 pandas==2.3.3 numpy==2.4.6
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
