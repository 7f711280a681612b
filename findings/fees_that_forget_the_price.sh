#!/bin/sh
# ccxt 4.5.90: `calculate_fee` charges a perpetual of Bybit that is bought as if it cost one, and OKX a hundredfold.
#
# Two bitcoin of BTCUSDT at 50,000, taker 0.06 %, cost 60 USDT, bought or sold. For the sale ccxt says so; for the
# purchase 0.0012 USDT, fifty thousand times too little: Bybit's markets are said to charge "what one gets", which holds
# for spot alone, so that the price is left out, and the currency is then set to that of settlement all the same. An
# inverse contract, two dollars of BTCUSD, costs 0.000000024 BTC; ccxt says 0.0012 bought and 60 BTC sold. And amounts
# in contracts are not multiplied by what a contract holds: 100 of OKX (0.01 BTC each) cost 25 USDT, ccxt says 2,500.
# Seen on 2026-11-30, Python 3.11; nothing is asked of the venues, their answers are made here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/ask.py" <<'PY'
import sys

import ccxt


def perpetual(name, kind, quote, settle, least):
    return {
        "symbol": name, "contractType": kind, "status": "Trading", "baseCoin": "BTC", "quoteCoin": quote,
        "settleCoin": settle, "launchTime": "1585526400000", "deliveryTime": "0", "leverageFilter": {},
        "priceFilter": {"tickSize": "0.10"}, "lotSizeFilter": {"minOrderQty": least, "qtyStep": least},
    }


LISTED = {
    "linear": perpetual("BTCUSDT", "LinearPerpetual", "USDT", "USDT", "0.001"),
    "inverse": perpetual("BTCUSD", "InversePerpetual", "USD", "BTC", "1"),
}


class Bybit(ccxt.bybit):
    def fetch(self, url, method="GET", headers=None, body=None):
        category = next(name for name in LISTED if f"category={name}" in url)
        rows = [] if "PreLaunch" in url else [LISTED[category]]
        return {"retCode": 0, "retMsg": "OK", "result": {"category": category, "list": rows}, "time": 0}


OKX = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "instFamily": "BTC-USDT", "uly": "BTC-USDT", "ctType": "linear",
    "ctVal": "0.01", "ctMult": "1", "ctValCcy": "BTC", "settleCcy": "USDT", "baseCcy": "", "quoteCcy": "",
    "lever": "100", "lotSz": "0.01", "minSz": "0.01", "tickSz": "0.1", "state": "live", "listTime": "1573557408000",
    "expTime": "",
}
bybit, okx = Bybit({"options": {"fetchMarkets": {"types": ["linear", "inverse"]}}}), ccxt.okx()
bybit.load_markets()
okx.set_markets([okx.parse_market(OKX)])
ASKED = (
    (bybit, "BTC/USDT:USDT", "buy", 2.0), (bybit, "BTC/USDT:USDT", "sell", 2.0),
    (bybit, "BTC/USD:BTC", "buy", 2.0), (bybit, "BTC/USD:BTC", "sell", 2.0),
    (okx, "BTC/USDT:USDT", "buy", 100.0), (okx, "BTC/USDT:USDT", "sell", 100.0),
)
found = []
for venue, symbol, side, amount in ASKED:
    market, fee = venue.market(symbol), venue.calculate_fee(symbol, "market", side, amount, 50_000.0)
    value = amount * market["contractSize"] * (1 / 50_000 if market["inverse"] else 50_000)
    due = value * market["taker"]
    found.append((fee["currency"], float(f"{fee['cost']:.6g}"), float(f"{due:.6g}")))
    told = f"{venue.id} {symbol}, {side} {amount:g}: {found[-1][1]} {found[-1][0]}, due {due:.10g}"
    print(f"ccxt {ccxt.__version__}, {told}")
expected = [
    ("USDT", 0.0012, 60.0), ("USDT", 60.0, 60.0), ("BTC", 0.0012, 2.4e-08), ("BTC", 60.0, 2.4e-08),
    ("USDT", 2500.0, 25.0), ("USDT", 2500.0, 25.0),
]
sys.exit(found != expected)
PY
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ccxt==4.5.90
"$folder/venv/bin/python" "$folder/ask.py"
echo "as found"
