#!/bin/sh
# hmmlearn 0.3.3: two regimes in returns written as percent are one in the same returns written as fractions.
#
# A Gaussian mixture over time should not care for the unit. But `GaussianHMM` adds a prior of 0.01 to each variance,
# and 0.001 to start from: next to daily returns of a share in fractions that is little, next to those of a currency, a
# bond or an hour it is everything. Here calm is 0.08 % a bar and storm 0.30 %. In percent both are found and every bar
# is told right; as fractions one state takes all bars, with 0.40 %, more than either, and the other takes none and
# claims more than 3,000 %. It says that it has converged. Scale the input to unit variance first.
# Seen on 2026-12-01, Python 3.11.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import logging
import sys

import hmmlearn
import numpy as np
from hmmlearn.hmm import GaussianHMM

logging.disable(logging.WARNING)
storm = np.repeat([0, 1, 0, 1, 0, 1], [200, 40, 200, 40, 200, 40])
returns = np.random.default_rng(1).normal(0, np.where(storm, 0.003, 0.0008))
found = {}
for unit, scale in (("fractions", 1), ("percent", 100)):
    model = GaussianHMM(2, n_iter=500, random_state=0).fit(scale * returns[:, None])
    states = model.predict(scale * returns[:, None])
    spread = 100 * np.sqrt(model.covars_.ravel()) / scale
    right = float(np.mean((states == np.argmax(spread)) == storm))
    found[unit] = (sorted(spread), len(set(states)), round(right, 2), model.monitor_.converged)
    print(f"hmmlearn {hmmlearn.__version__}, {unit}: {[f'{each:.2f} %' for each in sorted(spread)]} a bar,",
          f"{len(set(states))} of two states taken, {right:.0%} of bars told right, converged {model.monitor_.converged}")
(whole, seen, _, converged), (parts, both, right, _) = found["fractions"], found["percent"]
as_fractions = seen == 1 and converged and 0.35 < whole[0] < 0.45 and whole[1] > 1000
as_percent = both == 2 and right > 0.99 and 0.07 < parts[0] < 0.09 and 0.27 < parts[1] < 0.33
sys.exit(not (as_fractions and as_percent))
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile hmmlearn==0.3.3 numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
