"""What a classifier is worth: measures with intervals, paired comparisons, robustness and forgetting."""
