"""Models by themselves: tuned, judged, used and exported outside a run."""
