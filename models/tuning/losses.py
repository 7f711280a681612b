"""What training minimises: cross-entropy and focal loss with class weights, soft targets, and AdaLoRA's penalty."""

from __future__ import annotations

from typing import Any

import numpy as np

from embargo.data_loaders.fields import CLASSES
from embargo.models.loading.load import device
from embargo.models.methods.settings import TuneSettings


def class_weights(labels: np.ndarray) -> Any:
    """Return a weight per class, inverse to its share and 1 on average over the samples, float32 of shape (3,)."""
    import torch

    counts = np.bincount(labels, minlength=len(CLASSES))
    present = np.count_nonzero(counts)
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 0.0)
    return torch.tensor(weights, dtype=torch.float32, device=device())


def training_loss(logits: Any, target: Any, settings: TuneSettings, weights: Any, *, share: float | None = None) -> Any:
    """Return the weighted mean loss of rows, or, with ``share``, their part of the mean over a larger batch.

    The focal loss of a row is its cross-entropy times ``(1 - p) ** gamma``, p being the probability that the row's true
    class was given (Lin et al. 2017, arXiv 1708.02002): what is already right counts less.

    Parameters
    ----------
    logits, target : tensors of shape (n, 3) and (n,)
    settings : TuneSettings
        Its ``loss`` and ``gamma``.
    weights : tensor of shape (3,) or None
        One per class.
    share : float, optional
        Sum of the larger batch's class weights; its number of rows where there are none.
    """
    import torch
    from torch.nn import functional

    if settings.loss == "cross_entropy":
        if share is None:
            return functional.cross_entropy(logits, target, weight=weights)
        return functional.cross_entropy(logits, target, weight=weights, reduction="sum") / share
    entropy = functional.cross_entropy(logits, target, reduction="none")
    # Held off zero, where the slope of a root is infinite.
    loss = (1 - torch.exp(-entropy)).clamp_min(1e-6) ** settings.gamma * entropy
    row_weights = torch.ones_like(loss) if weights is None else weights[target]
    return (row_weights * loss).sum() / (row_weights.sum() if share is None else share)


def soft_loss(logits: Any, target: Any, temperature: float, *, share: float | None = None) -> Any:
    """Return the mean cross-entropy of rows against probabilities, times the square of the temperature.

    Logits are divided by the temperature that the probabilities are at; the square keeps the size of the gradients
    (Hinton, Vinyals and Dean 2015, arXiv 1503.02531).

    Parameters
    ----------
    logits, target : tensors of shape (n, 3)
    temperature : float
    share : float, optional
        Rows of the larger batch of which these are a part.
    """
    from torch.nn import functional

    total = functional.cross_entropy(logits / temperature, target, reduction="sum")
    return temperature**2 * total / (len(target) if share is None else share)


def orthogonality(adalora: Any) -> Any:
    """Return AdaLoRA's penalty on bases that are not orthogonal (Zhang et al. 2023, arXiv 2303.10512, equation 4).

    peft adds it only to a loss that the model computes itself.
    """
    import torch

    terms = []
    for name, value in adalora.model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = value @ value.T if "lora_A" in name else value.T @ value
            terms.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
    return adalora.peft_config["default"].orth_reg_weight * torch.stack(terms).mean()
