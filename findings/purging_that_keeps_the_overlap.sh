#!/bin/sh
# mlfinpy 0.1.2: PurgedKFold trains on labels that reach into the test part; just before it nothing is purged.
#
# A purged k-fold drops the training rows whose labels overlap those of the test part. `samples_info_sets` holds when
# each label begins (the index) and ends (the values). The split looks for rows that end after the test part begins,
# but takes for its beginning the *end* of its first label. Labels of one length that start before the test part all
# end before that, so that every overlapping row but the first touching one stays: with labels of five days the four
# days before each test part are trained on, whatever the pause asked for, which counts after the test part alone.
# Seen on 2026-11-30, Python 3.11: 100 business days, labels of five, five folds.
#   test rows 20 to 39: trained on 16, 17, 18, 19, whose labels end on rows 21 to 24
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import pandas as pd
from mlfinpy.cross_validation.cross_validation import PurgedKFold

days = pd.bdate_range("2020-01-01", periods=105)
begins, ends = days[:100], pd.Series(days[5:], index=days[:100])
found = []
for pause in (0.0, 0.04):
    for train, test in PurgedKFold(5, ends, pause).split(pd.DataFrame({"x": range(100)}, index=begins)):
        first, last = begins[test[0]], ends.iloc[test[-1]]
        overlapping = [int(row) for row in train if begins[row] < last and ends.iloc[row] > first]
        found.append(overlapping)
        print(f"mlfinpy {version('mlfinpy')}, pause {pause:.0%}, test rows {test[0]} to {test[-1]}:",
              f"trained on {overlapping}, which overlap")
sys.exit(found != 2 * [[], *([at - 4, at - 3, at - 2, at - 1] for at in (20, 40, 60, 80))])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mlfinpy==0.1.2 pandas==2.2.3 scikit-learn==1.5.2
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
