"""Logits of a model as transformers itself gives them, on whatever device the model lies."""

import numpy as np
import torch


def plain_logits(model, ids, mask=None) -> np.ndarray:
    """Return float64 logits of shape (texts, classes); every token counts where there is no mask."""
    there = next(model.parameters()).device
    mask = torch.ones_like(ids) if mask is None else mask
    with torch.no_grad():
        return model(input_ids=ids.to(there), attention_mask=mask.to(there)).logits.double().cpu().numpy()
