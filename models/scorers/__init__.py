"""Readers: every way to turn texts into three calibrated probabilities, and the cache of what they said."""
