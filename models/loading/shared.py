"""One base in memory for many folds: its weights are read from disk once and lent to every tuning and every scorer.

A model that is lent shares the frozen weights by reference and has modules of its own, so that adapters come and go
without touching the base and nothing is ever subtracted again. It has the bits of a model read anew: new heads are
drawn from the caller's generator, which ends where reading would have left it.
"""

from __future__ import annotations

import copy
import sys
from types import TracebackType
from typing import Any

from embargo.models.bases.resolve import Base
from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import READ, device, draw, load_classifier, untouched_generators
from embargo.models.methods.cards import METHODS
from embargo.models.methods.settings import Arithmetic, Method


class SharedBase:
    """A base whose weights are read once, for as long as a ``with`` block lasts.

    Full fine-tuning changes every weight and cannot share: it is read anew each time.

    Parameters
    ----------
    base : Base

    Attributes
    ----------
    base : Base
    reads : int
        How often weights were read from disk.
    lends : int
        How often somebody took a model of it.

    Examples
    --------
    >>> from embargo.models import Base
    >>> from embargo.models.loading import SharedBase
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> with SharedBase(base) as shared:  # reads nothing until a model is lent
    ...     print(shared.reads)
    0
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self.reads = self.lends = 0
        self._open = True
        self._held: tuple[tuple[bool, str], Any, list[str]] | None = None
        self._language: tuple[Arithmetic, Any] | None = None

    def __enter__(self) -> SharedBase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def lend(self, *, method: Method, compute: Arithmetic) -> tuple[Any, list[str]]:
        """Return what `load_classifier` returns: a model of the caller's own, with the base's weights shared.

        Its frozen weights must not be written in place. Where 4-bit weights are held and others are asked for, or the
        reverse, or another arithmetic, those held are let go first: there is one base in memory.

        Raises
        ------
        MissingPartError, ConfigError
            As `load_classifier`.
        """
        self.lends += 1
        if METHODS[method].name == "full" or not self._open:
            self.reads += 1
            return load_classifier(self.base, method=method, compute=compute)
        variant = (METHODS[method].quantised, compute)
        if self._held is None or self._held[0] != variant:
            self._held = self._language = None
            with untouched_generators():
                self._held = (variant, *load_classifier(self.base, method=method, compute=compute))
            self.reads += 1
        _, model, new_modules = self._held
        return _sharing(model), list(new_modules)

    def language(self, compute: Arithmetic) -> Any:
        """Return the base as the language model that it was trained as, in eval mode on `device()`, to read with.

        All who ask for the same arithmetic get the same model, which nobody may change. What else is held is let go.

        Raises
        ------
        NoHeadError
            As `load_language_model`.
        """
        self.lends += 1
        if self._language is not None and self._language[0] == compute:
            return self._language[1]
        self._held = self._language = None
        model = load_language_model(self.base, compute).to(device()).eval()
        self.reads += 1
        if self._open:
            self._language = (compute, model)
        return model

    def close(self) -> None:
        """Let go of the weights; models that were lent keep theirs."""
        self._open, self._held, self._language = False, None, None
        # Who never loaded torch left nothing on a card.
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def _sharing(model: Any) -> Any:
    """Return a copy with the same tensors, except those the checkpoint did not bring, which are drawn anew."""
    import torch

    tensors: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
    drawn = []
    for name, parameter in model.named_parameters():
        if not getattr(parameter, READ, False):
            drawn.append(name)
            tensors[id(parameter)] = torch.nn.Parameter(torch.empty_like(parameter))
        elif parameter.is_floating_point():
            # A parameter of its own: casting a module replaces the tensor inside its parameters.
            mine = torch.nn.Parameter(parameter.data, requires_grad=False)
            setattr(mine, READ, True)
            tensors[id(parameter)] = mine
        else:
            tensors[id(parameter)] = parameter
            tensors[id(parameter.quant_state)] = parameter.quant_state
    lent = copy.deepcopy(model, tensors)
    draw(lent, drawn)
    return lent.eval()
