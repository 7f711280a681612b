"""Turn weights and prices into returns, metrics, significance and regimes; check for leaks."""
