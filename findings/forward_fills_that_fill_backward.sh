#!/bin/sh
# sktime 1.2.0: an Imputer told to fill forward fills the days before the first value with it, from the future.
#
# `Imputer(method="ffill")` is the one method of the class that a causal pipeline would choose. It fills forward and
# then backward, so that a share listed in March has March's price, or a sentiment its first reading, from January on,
# without a word. Forward filling alone, in pandas, leaves those days missing, and a row that is missing cannot be
# traded. "linear" and "nearest" look ahead too, which their names tell.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import warnings

warnings.simplefilter("ignore")  # sktime tells of settings to come
import numpy as np
import pandas as pd
import sktime
from sktime.transformations.series.impute import Imputer

price = pd.Series([np.nan, np.nan, np.nan, 50.0, np.nan, 60.0], index=pd.date_range("2024-01-01", periods=6))
found = Imputer(method="ffill").fit_transform(price).tolist()
causal = price.ffill().tolist()
print(f"sktime {sktime.__version__}: {found}")
print(f"pandas {pd.__version__}: {causal}")
listed_late = np.isnan(causal[:3]).all() and causal[3:] == [50.0, 50.0, 60.0]
sys.exit(found != [50.0, 50.0, 50.0, 50.0, 50.0, 60.0] or not listed_late)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile sktime==1.2.0 pandas==3.0.6 numpy==2.4.6 scikit-learn==1.9.1
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
