"""Loading bases for tuning and scoring: quantised or not, packed, shared by all folds, on one device or several."""
