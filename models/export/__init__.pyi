from .merged import Merged, merge
from .onnx import Agreement, OnnxExport, Speed, export_onnx

__all__ = [
    "Agreement",
    "Merged",
    "OnnxExport",
    "Speed",
    "export_onnx",
    "merge",
]
