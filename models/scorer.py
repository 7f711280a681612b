"""What every scorer promises, and the words that choose how one is run and calibrated."""

from __future__ import annotations

from typing import Literal

Runtime = Literal["torch", "onnx", "onnx-int8"]
CalibrationMethod = Literal["temperature", "vector", "isotonic"]
