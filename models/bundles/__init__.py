"""Tuned models as folders that travel: adapter, calibration, the hashes of every text seen, and a card."""
