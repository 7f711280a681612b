from .features import FEATURES, MarketFeatures, market_features
from .head import HeadSettings
from .model import FusionModel, FusionSettings, fit_fusion, fusion_signal, load_fusion, save_fusion
from .samples import FusionInputs, FusionSamples, fusion_inputs, fusion_samples, text_features

__all__ = [
    "FEATURES",
    "FusionInputs",
    "FusionModel",
    "FusionSamples",
    "FusionSettings",
    "HeadSettings",
    "MarketFeatures",
    "fit_fusion",
    "fusion_inputs",
    "fusion_samples",
    "fusion_signal",
    "load_fusion",
    "market_features",
    "save_fusion",
    "text_features",
]
