"""The simulated market: dated articles and prices whose truth is known and returned beside them."""
