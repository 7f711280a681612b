"""Turn scored articles into one number per symbol and bar, then into target weights."""
