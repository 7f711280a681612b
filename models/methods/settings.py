"""How a base is tuned: every setting with its default, refused where it makes no sense, before anything is loaded.

Nothing here knows a base, a library of models or a machine, so that a configuration can be read without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from embargo.data_loaders.errors import ConfigError

Method = Literal["qlora", "lora", "dora", "rslora", "adalora", "ia3", "prefix", "prompt", "ptuning", "full", "none"]
AdapterTarget = Literal["attention", "all-linear"]
Compute = Literal["auto", "fp32", "bf16"]
Arithmetic = Literal["fp32", "bf16"]
Optimizer = Literal["auto", "adamw", "paged_adamw_8bit"]
TrainingLoss = Literal["cross_entropy", "focal"]


@dataclass(frozen=True)
class TuneSettings:
    """How to tune.

    Attributes
    ----------
    method : str
        A name of `embargo.models.methods.METHODS`; ``none`` reads with the base's own head and tunes nothing.
    rank, alpha, dropout
        Shape of the low-rank update (Hu et al. 2021, arXiv 2106.09685): it is scaled by ``alpha / rank``. For prefix,
        prompt and P-tuning ``rank`` is the number of virtual tokens.
    target : {"attention", "all-linear"}
        Which layers get low-rank adapters: query and value projections, or every linear layer.
    learning_rate, weight_decay, warmup, clip
        AdamW peak rate and decay, share of all steps spent warming up before the cosine decay to zero, and the norm to
        which gradients are clipped.
    epochs, batch_size, patience, min_delta
        At most ``epochs`` passes; stops after ``patience`` passes in which the validation loss has not fallen by
        ``min_delta`` nats, and keeps the pass with the lowest one.
    max_length : int
        Tokens after which a text is cut.
    class_weights : bool
        Weigh each class by the inverse of its share in the training loss.
    loss, gamma : {"cross_entropy", "focal"}, float
        What is minimised, and how much less the focal loss counts what is already right. Early stopping goes by
        unweighted cross-entropy after the best temperature, whatever the loss.
    micro_batch : int, optional
        Texts that go through the model at once; their gradients add up to a step of ``batch_size``. By default all.
    shares : int, optional
        Parts into which every step is cut, each with its own dropout, their gradients added one after the other: any
        number of processes that divides it trains the same weights, bit for bit. By default a step is one part, and
        several processes (``accelerate launch``) give the weights of one up to rounding.
    checkpointing : bool
        Compute activations twice instead of keeping them: less memory, more time, the same result.
    compute : {"auto", "fp32", "bf16"}
        ``auto`` is bf16 where the hardware multiplies in it.
    seed : int
        Of the new head, the adapters, dropout and the order of the samples.
    optimizer : {"auto", "adamw", "paged_adamw_8bit"}
        ``auto`` is the paged 8-bit AdamW for QLoRA on a GPU, else AdamW.

    Examples
    --------
    >>> from embargo.models import TuneSettings
    >>> TuneSettings(method="lora", rank=16).alpha
    16.0
    >>> TuneSettings(patience=0)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: tuning.patience must be at least 1, got 0.
    """

    method: Method = "qlora"
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05
    target: AdapterTarget = "attention"
    learning_rate: float = 2e-3
    epochs: int = 8
    batch_size: int = 32
    patience: int = 3
    min_delta: float = 0.001
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    max_length: int = 128
    class_weights: bool = False
    loss: TrainingLoss = "cross_entropy"
    gamma: float = 2.0
    micro_batch: int | None = None
    shares: int | None = None
    checkpointing: bool = False
    compute: Compute = "auto"
    seed: int = 0
    optimizer: Optimizer = "auto"

    def __post_init__(self) -> None:
        at_least_one = ("rank", "epochs", "batch_size", "patience")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ConfigError(f"tuning.{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("alpha", "learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"tuning.{name} must be positive, got {getattr(self, name)}.")
        for name in ("dropout", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"tuning.{name} must lie in [0, 1), got {getattr(self, name)}.")
        if self.max_length < 8:
            raise ConfigError(f"tuning.max_length must be at least 8 tokens, got {self.max_length}.")
        choices = {
            "method": Method,
            "loss": TrainingLoss,
            "target": AdapterTarget,
            "compute": Compute,
            "optimizer": Optimizer,
        }
        for name, words in choices.items():
            allowed = get_args(words)
            if getattr(self, name) not in allowed:
                raise ConfigError(f"tuning.{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        self._check_batches()

    def _check_batches(self) -> None:
        if self.gamma < 0:
            raise ConfigError(f"tuning.gamma must not be negative, got {self.gamma}.")
        if self.micro_batch is not None and not 1 <= self.micro_batch <= self.batch_size:
            raise ConfigError(
                f"tuning.micro_batch must lie between 1 and batch_size ({self.batch_size}), got {self.micro_batch}."
            )
        if self.shares is not None and not 1 <= self.shares <= self.batch_size:
            raise ConfigError(
                f"tuning.shares must lie between 1 and batch_size ({self.batch_size}), got {self.shares}."
            )
        if self.method == "prefix" and self.checkpointing:
            raise ConfigError("tuning.checkpointing cannot go with method 'prefix': it drops the prefix. Unset it.")
