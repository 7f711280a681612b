#!/bin/sh
# ccxt 4.5.90: `parse8601` reads the instants that PostgreSQL writes hours away, and a plain day not at all, unsaid.
#
# PostgreSQL writes an instant with the shortest offset, "2024-01-02 09:30:00-05", and so do its CSV exports.
# `parse8601` looks for two more digits, finds none and takes the local time for UTC: an American article counts from
# five hours before it was published, a look-ahead; a European one from one hour after. "-05:00" and "-0500" are read
# right, and Python's own `datetime.fromisoformat` reads all three alike.
# A day without a time, "2024-01-01", and minutes without seconds give None, no error. Handed to `fetch_ohlcv` as
# `since` that asks Bybit for no start: the newest candles come, whatever the year that was meant.
# Seen on 2026-11-29, Python 3.11; the exchange is a stub that keeps the address asked for.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys
from datetime import datetime

import ccxt


class Stub(ccxt.bybit):
    def fetch(self, url, method="GET", headers=None, body=None):
        self.asked = url
        result = {"category": "linear", "symbol": "BTCUSDT", "list": []}
        return {"retCode": 0, "retMsg": "OK", "result": result, "time": 0}


bybit = Stub()
market = {"id": "BTCUSDT", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "type": "swap"}
bybit.set_markets([bybit.safe_market_structure(market | {"swap": True, "contract": True, "linear": True})])
late, started = {}, {}
for offset in ("-05", "-0500", "-05:00", "+01"):
    written = f"2024-01-02 09:30:00{offset}"
    late[offset] = (bybit.parse8601(written) / 1000 - datetime.fromisoformat(written).timestamp()) / 3600
    print(f"ccxt {ccxt.__version__}: {written} is read {late[offset]:+.0f} hours from its instant")
for since in ("2024-01-01", "2024-01-01T00:00Z", "2024-01-01T00:00:00Z"):
    bybit.fetch_ohlcv("BTC/USDT:USDT", "1d", since=bybit.parse8601(since))
    started[since] = "start=1704067200000" in bybit.asked
    print(f"ccxt {ccxt.__version__}: since {since} asks for", bybit.asked.partition("?")[2])
expected = {"-05": -5.0, "-0500": 0.0, "-05:00": 0.0, "+01": 1.0}
sys.exit(late != expected or list(started.values()) != [False, False, True])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ccxt==4.5.90
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
