"""Combinatorial purged paths: every part of history tested by models taught on the others."""
