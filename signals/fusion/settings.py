"""What a fusion of news and market predicts, and with what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from embargo.data_loaders.errors import ConfigError
from embargo.data_loaders.fields import CLASSES
from embargo.signals.fusion.head import HeadSettings

FusionKind = Literal["logistic", "boosting", "neural"]
FusionTarget = Literal["relative", "absolute"]
FusionClasses = Literal["direction", "three"]


@dataclass(frozen=True)
class FusionSettings:
    """What to predict, and with what.

    Attributes
    ----------
    kind : {"logistic", "boosting", "neural"}
        Logistic regression, histogram gradient boosting (both scikit-learn), or `embargo.signals.fusion.head`.
    target : {"relative", "absolute"}
        The return to predict: less the mean of all symbols, or as it is.
    classes : {"direction", "three"}
        Up or down, where samples that did not move are set aside and counted; or up, flat and down, cut at quantiles
        of the training returns.
    neutral_share : float
        Share of training samples that is flat, in (0, 1); for three classes only.
    strength : float
        Logistic regression: inverse of the L2 penalty.
    trees, leaves, min_leaf : int
        Boosting: most trees (per class), leaves of one, and samples in a leaf.
    learning_rate : float
        Boosting: weight of each tree.
    patience : int
        Boosting: trees without a lower stopping loss after which it ends.
    head : HeadSettings
        The neural head.
    stop_share : float
        Share of the training samples, the latest ones, that tells boosting and the head when to stop, in (0, 0.5].
    tails : float
        Share at each end of a feature's training values to which values are clipped, in [0, 0.5); not for boosting.
    min_samples : int
        Fewest training and fewest validation samples.
    seed : int

    Examples
    --------
    >>> from embargo.signals.fusion import FusionSettings
    >>> FusionSettings(classes='three').names
    ('bearish', 'neutral', 'bullish')
    """

    kind: FusionKind = "logistic"
    target: FusionTarget = "relative"
    classes: FusionClasses = "direction"
    neutral_share: float = 1 / 3
    strength: float = 0.1
    trees: int = 200
    leaves: int = 8
    min_leaf: int = 50
    learning_rate: float = 0.05
    patience: int = 10
    head: HeadSettings = field(default_factory=HeadSettings)
    stop_share: float = 0.2
    tails: float = 0.005
    min_samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("kind", FusionKind), ("target", FusionTarget), ("classes", FusionClasses)):
            if getattr(self, name) not in get_args(known):
                raise ConfigError(f"fusion: {name} must be one of {get_args(known)}, got {getattr(self, name)!r}.")
        if not 0.0 < self.neutral_share < 1.0:
            raise ConfigError(f"fusion: neutral_share must lie between 0 and 1, got {self.neutral_share}.")
        if not (self.strength > 0.0 and self.learning_rate > 0.0):
            raise ConfigError("fusion: strength and learning_rate must be positive.")
        if min(self.trees, self.min_leaf, self.patience, self.min_samples) < 1 or self.leaves < 2:
            raise ConfigError("fusion: trees, min_leaf, patience and min_samples must be at least 1, leaves 2.")
        if not (0.0 < self.stop_share <= 0.5 and 0.0 <= self.tails < 0.5):
            raise ConfigError("fusion: stop_share must lie in (0, 0.5] and tails in [0, 0.5).")

    @property
    def names(self) -> tuple[str, ...]:
        """Classes in the order of the probabilities, the falling one first, the rising one last."""
        return CLASSES if self.classes == "three" else (CLASSES[0], CLASSES[2])
