"""Yahoo through yfinance: bars as traded, dividends, splits and news, as facts for the store."""
