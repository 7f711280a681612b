"""Books: weights and prices to returns through vectorbt, or through the compiled kernel that keeps the same books."""
