#!/bin/sh
# ccxt 4.5.90: trades of the same millisecond come in the order of their ids as text, on Bybit a random one.
#
# A large order that eats its way through the book makes many trades of one millisecond at ever worse prices. Venues
# list them in the order in which they happened. `fetch_trades`, which sorts by time, sorts equal times by id, as text:
# Bybit's ids are random (UUID), so that the fall comes out shuffled, and OKX's, numbers, break where one digit more
# begins, 1000 before 998. The last price, the closes of candles made of trades, tick directions and whatever tells buys
# from sells by the move are then others; Bybit's own `seq`, which tells the order, lies in `info` and is not used.
# Seen on 2026-11-30, Python 3.11; nothing is asked of the venues, their answers are made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import random
import sys
import uuid

import ccxt

NOW, PRICES = "1719878400000", [50000.0, 49990.0, 49980.0, 49970.0, 49960.0, 49950.0]  # a sale of six levels
drawn = random.Random(0)
bybit = [
    {"execId": str(uuid.UUID(int=drawn.getrandbits(128), version=4)), "symbol": "BTCUSDT", "price": str(price),
     "size": "1", "side": "Sell", "time": NOW, "isBlockTrade": False, "seq": str(7000 + place)}
    for place, price in enumerate(PRICES)
]
okx = [
    {"instId": "BTC-USDT", "tradeId": str(998 + place), "px": str(price), "sz": "1", "side": "sell", "ts": NOW}
    for place, price in enumerate(PRICES)
]
ANSWERS = {  # newest first, as both list them
    "bybit": ("public_get_v5_market_recent_trade", {"retCode": 0, "result": {"category": "spot", "list": bybit[::-1]}}),
    "okx": ("public_get_market_trades", {"code": "0", "data": okx[::-1]}),
}
found = {}
for name, (call, answer) in ANSWERS.items():
    exchange = getattr(ccxt, name)()
    market = exchange.safe_market_structure({
        "id": "BTCUSDT" if name == "bybit" else "BTC-USDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT",
        "baseId": "BTC", "quoteId": "USDT", "type": "spot", "spot": True, "active": True, "contract": False,
        "precision": {"amount": 1e-6, "price": 0.01},
    })
    exchange.set_markets([market])
    for way in (call, "".join(part.capitalize() if place else part for place, part in enumerate(call.split("_")))):
        setattr(exchange, way, lambda *_, answer=answer, **__: answer)
    trades = exchange.fetch_trades("BTC/USDT")
    found[name] = [trade["price"] for trade in trades]
    print(f"ccxt {ccxt.__version__}, {name}: happened {PRICES}\n    handed out {found[name]}, last price {found[name][-1]}")
right = all(sorted(prices, reverse=True) == PRICES for prices in found.values())
by_id = [float(row["price"]) for row in sorted(bybit, key=lambda row: row["execId"])]
sys.exit(not right or found["bybit"] != by_id or by_id == PRICES or found["okx"] != PRICES[2:] + PRICES[:2])
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile ccxt==4.5.90
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
