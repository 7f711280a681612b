#!/bin/sh
# timeseriescv 0.2: CombPurgedKFoldCV purges and keeps a pause after a test fold, unless the last fold is tested too.
#
# In a combinatorial purged cross-validation two folds of five are tested at a time. After each tested fold the training
# rows have to wait until its last label is complete, and for a pause of a stated length. The code takes the rows up to
# the end of a fold by their place among the *test* rows, where it has places among all rows, and so mixes in the folds
# after it: with the last fold tested, labels are complete at the end of time, nothing is found to be dropped, and the
# four rows right after the earlier test fold, which overlap its labels, are trained on.
# Seen on 2026-11-30, Python 3.11: 100 business days, labels of five, five folds, two tested, a pause of four days.
#   tested 20-39 and 80-99: trained on 40, 41, 42, 43; tested 40-59 and 80-99: on 60 to 63; tested 20-39 and 60-79: clean
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from importlib.metadata import version

import pandas as pd
from timeseriescv.cross_validation import CombPurgedKFoldCV

days = pd.bdate_range("2020-01-01", periods=105)
begins, ends = pd.Series(days[:100], index=days[:100]), pd.Series(days[5:], index=days[:100])
split = CombPurgedKFoldCV(5, 2, pd.Timedelta(days=4))  # folds, of which tested, pause
found = {}
for train, test in split.split(pd.DataFrame({"x": range(100)}, index=days[:100]), pred_times=begins, eval_times=ends):
    folds = tuple(sorted({int(row) // 20 for row in test}))
    found[folds] = [
        int(row)
        for row in train
        if any(begins.iloc[row] < ends.iloc[each] and ends.iloc[row] > begins.iloc[each] for each in test)
    ]
    print(f"timeseriescv {version('timeseriescv')}, folds {folds} tested: trained on {found[folds]}, which overlap")
expected = dict.fromkeys(found, []) | {(1, 4): [40, 41, 42, 43], (2, 4): [60, 61, 62, 63]}
sys.exit(found != expected or len(found) != 10)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timeseriescv==0.2 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
