"""Turn text into calibrated probabilities of bearish, neutral and bullish."""
