"""Bybit through ccxt: candles, funding, instruments and announcements, as facts for the store."""
