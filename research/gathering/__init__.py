"""Fetching and collecting data into a store, and checking what came."""
