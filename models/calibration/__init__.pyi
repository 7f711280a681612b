from .fitting import Calibration, Curve, fit_calibration
from .measures import (
    BrierDecomposition,
    adaptive_calibration_error,
    brier_decomposition,
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    reliability_table,
    wilson_interval,
)
from .significance import CalibrationTest, calibration_test, confidence_test

__all__ = [
    "BrierDecomposition",
    "Calibration",
    "CalibrationTest",
    "Curve",
    "adaptive_calibration_error",
    "brier_decomposition",
    "brier_score",
    "calibration_test",
    "classwise_calibration_error",
    "confidence_test",
    "expected_calibration_error",
    "fit_calibration",
    "reliability_table",
    "wilson_interval",
]
