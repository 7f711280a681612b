"""What a signal says of later returns: information coefficients, decay, quantiles and an event study."""
