"""How a base is tuned: the words that a configuration may use."""

from __future__ import annotations

from typing import Literal

Method = Literal["qlora", "lora", "dora", "rslora", "adalora", "ia3", "prefix", "prompt", "ptuning", "full"]
Optimizer = Literal["auto", "adamw", "paged_adamw_8bit"]
