"""Studies over runs and configs: sweeps, comparisons, paths and signal diagnostics."""
