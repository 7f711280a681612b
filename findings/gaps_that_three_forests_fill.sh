#!/bin/sh
# LightGBM 4.7.0, XGBoost 3.2.0 and scikit-learn 1.9.1: a gap that training never had is zero, the highest or the usual.
#
# All three take missing values, and one would think that a gap unseen in training is harmless. Each sends it elsewhere,
# without a word: LightGBM reads it as 0.0, XGBoost as more than any value, scikit-learn sends it with the most rows.
# The feature here is a price from 50 to 150, where rows under 60 (or over 140) have the label -1 and all others 1. A
# share without a price, halted, say, is sure to fall to LightGBM in the first case and to XGBoost in the second. Live
# data have gaps that a clean history lacks, and the signal turns on which library was chosen. Five missing rows among
# the 2,000 of training change it: all then learn where gaps go.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")
import lightgbm
import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import HistGradientBoostingRegressor

price = np.random.default_rng(0).uniform(50, 150, 2000)[:, None]
gap = np.array([[np.nan]])
labels = {"under 60": np.where(price[:, 0] < 60, -1.0, 1.0), "over 140": np.where(price[:, 0] > 140, -1.0, 1.0)}
models = {
    f"LightGBM {lightgbm.__version__}": lambda: lightgbm.LGBMRegressor(n_estimators=50, verbose=-1),
    f"XGBoost {xgboost.__version__}": lambda: xgboost.XGBRegressor(n_estimators=50),
    f"scikit-learn {sklearn.__version__}": HistGradientBoostingRegressor,
}
found = {}
for name, make in models.items():
    told = [float(make().fit(price, label).predict(gap)[0]) for label in labels.values()]
    found[name.split()[0]] = [round(each) for each in told]
    print(f"{name}: a gap is {told[0]:.2f} where prices under 60 fall, {told[1]:.2f} where those over 140 do")
sys.exit(found != {"LightGBM": [-1, 1], "XGBoost": [1, -1], "scikit-learn": [1, 1]})
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile lightgbm==4.7.0 xgboost-cpu==3.2.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
