#!/bin/sh
# ccxt 4.5.90: candles built from trades begin their weeks on Thursday and their months every thirty days.
#
# Bybit's weekly candles begin on Monday, its monthly ones on the first, and so does `round_timeframe` of ccxt. But
# `build_ohlcvc`, which makes candles out of trades, counts weeks and months of thirty days from 1970-01-01, a Thursday:
# what it calls "1w" ends in the middle of the venue's week, and its monthly candles drift through the year. Joined to
# the venue's candles by the nearest stamp before, a row of Monday gets trades up to Thursday.
# Trades must come oldest first: newest first, as many venues list them, all days fall into one candle, without a word.
# Seen on 2026-11-30, Python 3.11; nothing is asked of the venue.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import ccxt

bybit = ccxt.bybit()
days = ("2024-05-13", "2024-05-15", "2024-05-16", "2024-05-19", "2024-05-20")
trades = [
    {"timestamp": bybit.parse8601(f"{day}T12:00:00Z"), "price": 100.0 + number, "amount": 1.0}
    for number, day in enumerate(days)
]
found = {}
for bar in ("1d", "1w", "1M"):
    built = [bybit.iso8601(candle[0])[:10] for candle in bybit.build_ohlcvc(trades, bar)]
    rounded = list(dict.fromkeys(bybit.iso8601(bybit.round_timeframe(bar, each["timestamp"]))[:10] for each in trades))
    found[bar] = (built, rounded)
    print(f"ccxt {ccxt.__version__}, {bar}: built from trades {built}, rounded {rounded}")
newest_first = len(bybit.build_ohlcvc(trades[::-1], "1d"))
print(f"ccxt {ccxt.__version__}, 1d, newest first: {newest_first} candle of five")
expected = {
    "1d": (list(days), list(days)),
    "1w": (["2024-05-09", "2024-05-16"], ["2024-05-13", "2024-05-20"]),
    "1M": (["2024-04-17", "2024-05-17"], ["2024-05-01"]),
}
sys.exit(found != expected or newest_first != 1)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ccxt==4.5.90
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
