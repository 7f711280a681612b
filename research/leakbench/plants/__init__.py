"""Known leaks by family, each written where a user or a library would write it."""
