"""Tuned models made portable: merged into full-precision weights, or as ONNX graphs scored without torch."""
