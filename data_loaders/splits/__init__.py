"""Time splits: hold-out, walk-forward and combinatorial, purged by label intervals and embargoed."""
