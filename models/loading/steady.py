"""Heads that give a text the same bits in whatever place of a batch it stands.

Products of few columns are taken row by row or several rows at once, by what is left at the end of a batch. With torch
2.13.0 and AVX-512, one of three columns and 64 to 128 inner terms differs in its last bit between odd and even rows of
up to ten (MKL 2024.2); one of four columns and more differs nowhere that was looked.
"""

from __future__ import annotations

from typing import Any

# Columns that a product is filled up to.
COLUMNS = 8


def steady(model: Any) -> Any:
    """Let linear layers of few outputs multiply by as many columns as make rows alike, in place; return the model.

    What is added are columns of zeros, of which nothing is kept.
    """
    import torch

    class Wide(torch.nn.Module):
        weight: torch.Tensor
        bias: torch.Tensor | None

        def __init__(self, layer: torch.nn.Linear) -> None:
            super().__init__()
            more = COLUMNS - layer.out_features
            self.kept = layer.out_features
            weight = torch.nn.functional.pad(layer.weight.detach(), (0, 0, 0, more))
            self.register_buffer("weight", weight)
            bias = None if layer.bias is None else torch.nn.functional.pad(layer.bias.detach(), (0, more))
            self.register_buffer("bias", bias)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.linear(features, self.weight, self.bias)[..., : self.kept]

    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear and layer.out_features < COLUMNS:
                setattr(parent, name, Wide(layer))
    return model
