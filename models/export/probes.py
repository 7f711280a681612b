"""Sixteen texts that are hard to read, on which what was exported is held against the original."""

PROBE_TEXTS = (
    "Shares of the company surged after it raised its full-year profit guidance.",
    "The bank's shares plunged 12% as loan losses mounted.",
    "The company will publish its third-quarter results on 24 October.",
    "Operating profit fell to EUR 13.1 mn from EUR 14.9 mn in the corresponding period of 2007.",
    "Net sales rose 18% year on year, beating every analyst's estimate.",
    "The board appointed a new chief financial officer.",
    "Regulators fined the lender $1.2bn over money-laundering failures.",
    "Profit did not fall as feared; margins held.",
    "$AAPL not bad at all!!! 🚀🚀",
    "BTC slides below 30k as funding turns negative",
    "Zürich-based insurer Überlebensfähig AG: naïve café coöperation — “no comment”",
    "株価は急騰した。Прибыль упала. الأرباح ارتفعت",
    "UPGRADE: Broker lifts target to $410 from $355; keeps 'buy'",
    "Ｆｕｌｌｗｉｄｔｈ ﬁrms e\u0301clair \u200bzero\u00a0width\ttab\nline",
    "ok",
    "The merger talks between the two chip makers collapsed on Friday, people familiar with the matter said, "
    "ending months of negotiation over price, the break fee, and who would lead the combined group. " * 4,
)
