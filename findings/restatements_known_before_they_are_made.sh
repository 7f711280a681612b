#!/bin/sh
# feast 0.67.0: a point-in-time join hands out the figure that was corrected later, and loses rows that are asked for.
#
# A feature view has a time of the fact and, as `created_timestamp_column`, the time at which the row came to be. One
# would take the second for what was known when: of a quarter that ended in March, was filed in May and corrected in the
# next year, a training row of mid-May should see the first figure, one of 1 April none. Both see the correction. The
# second time only chooses among rows of one fact, the newest of all wins, and is never held against the day asked for.
# A row that no fact is laid beside, asked of a day before the first or when the last is older than `ttl`, does not come
# back with a gap but not at all, and labels laid beside the answer by position slip; one of an unknown share comes back.
# Seen on 2026-12-01, Python 3.11, the file store and pandas alone; no server.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import feast
import pandas as pd
from feast.types import Float64

folder = Path(tempfile.mkdtemp(dir=Path(__file__).parent))


def utc(*days):
    return pd.to_datetime(list(days), utc=True)


pd.DataFrame(
    {
        "ticker": ["A", "A", "A"],
        "period": utc("2024-03-31", "2024-03-31", "2024-06-30"),
        "filed": utc("2024-05-02", "2025-02-01", "2024-08-01"),
        "eps": [1.0, 0.2, 2.0],
    }
).to_parquet(folder / "facts.parquet")
ticker = feast.Entity(name="ticker", join_keys=["ticker"], value_type=feast.ValueType.STRING)
source = feast.FileSource(
    path=str(folder / "facts.parquet"), timestamp_field="period", created_timestamp_column="filed"
)
view = feast.FeatureView(
    name="facts",
    entities=[ticker],
    ttl=timedelta(days=400),
    schema=[feast.Field(name="eps", dtype=Float64)],
    source=source,
)
store = feast.FeatureStore(
    config=feast.RepoConfig(
        project="figures",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "file"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
)
store.apply([ticker, view])
days = ("2024-01-15", "2024-04-01", "2024-05-15", "2024-07-01", "2026-06-30")
asked = pd.DataFrame({"ticker": [*("A" for _ in days), "B"], "event_timestamp": utc(*days, "2024-05-16")})
told = store.get_historical_features(asked, features=["facts:eps"]).to_df()
found = {f"{day:%Y-%m-%d}": None if pd.isna(eps) else eps for day, eps in zip(told["event_timestamp"], told["eps"])}
for day in days:
    print(f"feast {feast.__version__}, {day}:", found.get(day, "no row"))
print(f"feast {feast.__version__}: {len(asked)} rows asked for, {len(told)} come back, unknown share", "2024-05-16" in found)
expected = {"2024-05-16": None, "2024-04-01": 0.2, "2024-05-15": 0.2, "2024-07-01": 2.0}
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile feast==0.67.0 pandas==2.3.3
if ! "$folder/venv/bin/python" "$folder/ask.py"; then
    echo "no longer"
    exit 1
fi
echo "as found"
