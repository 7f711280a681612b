"""Benchmarks: scripts that print figures as ratios against a peer measured in the same run."""
