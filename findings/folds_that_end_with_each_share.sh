#!/bin/sh
# mlforecast 1.1.0: a cross-validation over shares tests 2021 with a model that was trained on 2024.
#
# One model is trained on all series, and `cross_validation` cuts windows off their ends. One would take a cutoff for a
# day. It is a number of rows counted from the end of each series: of a share that was delisted in 2021 the last rows
# are tested by a model that has seen the other shares up to 2024. Here all shares move with one market, its value of
# the day among the features, and the test of the dead share is nearly without error, where a model cut at its own day
# knows nothing. Series of one length show nothing; statsforecast 2.1.1 cuts the same way, but fits each series alone.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
from mlforecast import MLForecast
from sklearn.neighbors import KNeighborsRegressor

live = pd.bdate_range("2020-01-01", "2024-12-31")
dead = live[live <= "2021-12-31"]
moves = pd.Series(np.random.default_rng(7).normal(size=len(live)), index=live)
rows = pd.concat(
    [
        pd.DataFrame({"unique_id": name, "ds": days, "y": moves[days].to_numpy()})
        for name, days in (("live", live), ("dead", dead))
    ],
    ignore_index=True,
)


def day(days):
    return (days - live[0]).days


def model():
    return MLForecast(models={"nearest": KNeighborsRegressor(1)}, freq="B", date_features=[day])


def error(tested):
    dead_rows = tested[tested["unique_id"] == "dead"]
    return round(float((dead_rows["nearest"] - dead_rows["y"]).abs().mean()), 2)


tested = model().cross_validation(rows, n_windows=1, h=20)
cutoffs = {name: f"{part['cutoff'].iloc[0]:%Y-%m-%d}" for name, part in tested.groupby("unique_id")}
honest = model().cross_validation(rows[rows["ds"] <= dead[-1]], n_windows=1, h=20)
found = (cutoffs, error(tested), error(honest))
print(f"mlforecast {version('mlforecast')}: cutoffs {cutoffs}, error of the dead share {found[1]}, cut by day {found[2]}")
sys.exit(cutoffs != {"dead": "2021-12-03", "live": "2024-12-03"} or found[1] != 0.0 or found[2] < 0.5)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile mlforecast==1.1.0 utilsforecast==0.2.17 pandas==2.3.3 numpy==2.4.6 scikit-learn==1.9.1
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
