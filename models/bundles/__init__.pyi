from .bundle import Bundle, ModelReader, bundle_reader, list_bundles, onnx_reader, open_bundle, write_bundle

__all__ = [
    "Bundle",
    "ModelReader",
    "bundle_reader",
    "list_bundles",
    "onnx_reader",
    "open_bundle",
    "write_bundle",
]
