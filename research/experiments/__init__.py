"""Configs for real data sets; each names what it expects to find."""
