from .features import FEATURES, MarketFeatures, market_features
from .files import load_fusion, save_fusion
from .fitting import fit_fusion
from .head import HeadSettings
from .model import FusionModel, fusion_signal
from .samples import FusionInputs, FusionSamples, fusion_inputs, fusion_samples, text_features
from .settings import FusionSettings

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
