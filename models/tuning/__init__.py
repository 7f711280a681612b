"""Tuning a base on labelled texts: the loop, its optimisers and checkpoints, and the built-in base model."""
