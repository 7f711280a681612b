"""Read news with a causal model as it is, by asking it: the class is the answer that it takes for the most likely.

Nothing is trained and nothing is generated: a class is read from the likelihood of its word behind the prompt, so that
no text in an article can change the form of an answer. What all prompts begin with is computed once. A text's logits
depend on the text alone, and on what the fold knew when its training ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.folders import understood
from embargo.models.bases.resolve import Base
from embargo.models.content import json_hash
from embargo.models.loading.devices import device_type
from embargo.models.loading.load import load_tokenizer, resolve_compute
from embargo.models.loading.shared import SharedBase
from embargo.models.methods.settings import Compute
from embargo.models.prompt import Prompt
from embargo.models.prompting.answers import Answers, Reader, common_start, token_ids
from embargo.models.prompting.context import Context
from embargo.models.prompting.settings import PromptSettings
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import Fit, FitRequest, ScorerKind

# Ends of articles, one of each sort, behind which a tokenizer must find the same answers.
PROBES = ("Profit rose", "Up 8", "Sales fell.", "$", "株価", "“", "x " * 40)
# Probabilities that two ways of computing the same may differ by.
AGREEMENT = {"fp32": 1e-4, "bf16": 0.05}


class PromptedScorer:
    """A causal model that is asked for the class of each text.

    Parameters
    ----------
    base : Base
        A decoder.
    context : Context
        Of the fold, made with this base's tokenizer.
    compute : {"auto", "fp32", "bf16"}
        Arithmetic of scoring; part of the identity.
    share : bool
        Compute what prompts begin with once; logits are the same up to rounding.
    shared : SharedBase, optional
        Lends the base's weights instead of reading them from disk.
    token_budget : int, optional
        Tokens in a batch, padding included and what is shared left out, by default as many as fit the device; not part
        of the identity.

    Attributes
    ----------
    identity : str
        sha256 over everything that determines a logit: weights, prompts, settings, arithmetic, versions of libraries.
    knowledge_cutoff : Timestamp or None
        Later of the base's and of what its prompts show; None where either is unknown.

    Raises
    ------
    ConfigError
        If the base is an encoder.

    References
    ----------
    Brown et al. (2020), "Language Models are Few-Shot Learners", arXiv 2005.14165, section 2.4 (likelihood of each
    answer, by its length); Zhao, Wallace, Feng, Klein and Singh (2021), "Calibrate Before Use", arXiv 2102.09690.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Base, PromptedScorer
    >>> from embargo.models.prompting import Context, PromptSettings
    >>> from embargo.models.scorers.kind import FitRequest
    >>> context = Context.build(PromptSettings(), FitRequest([], [], [], [], None, None, Path("cache")))
    >>> PromptedScorer(Base("mine", "/models/mine", "encoder", None, "", weights_hash="ab12"), context)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: model.kind = 'prompted': base 'mine' is an encoder, which cannot say how \
likely an answer is. Name a decoder, such as 'tiny-instruct', or tune this one with kind = 'transformer'.
    """

    def __init__(
        self,
        base: Base,
        context: Context,
        *,
        compute: Compute = "auto",
        share: bool = True,
        shared: SharedBase | None = None,
        token_budget: int | None = None,
    ) -> None:
        require_decoder(base)
        self._base, self._context, self._share = base, context, share
        self._compute = resolve_compute(compute, base)
        self._lender = SharedBase(base) if shared is None else shared
        self._token_budget = token_budget
        self._loaded: _Loaded | None = None
        self.knowledge_cutoff = context.later_cutoff(base.knowledge_cutoff)
        self.identity = json_hash(
            {
                "kind": "prompted",
                "base": base.weights_hash,
                "context": context.identity,
                "normalise": context.settings.normalise,
                "calibrate": context.settings.calibrate,
                "compute": self._compute,
                "share": share,
                "device": device_type(),
                "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers")},
            }
        )

    def prompts(self, texts: Sequence[str]) -> list[Prompt]:
        """Return the prompt of each text, with every item in it and when that was known; nothing is scored."""
        return self._context.prompts(texts)

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Return the logits of bearish, neutral and bullish, float64 of shape (len(texts), 3).

        They are logarithms of the shares of the three answers, divided by those of inputs without content where the
        settings say so.

        Parameters
        ----------
        texts : sequence of str
        progress : callable, optional
            Called with (texts done, texts in all).

        Raises
        ------
        DataError
            If a prompt is longer than the model reads, or the model gives no numbers.
        MissingPartError
            If the base has no language-modelling head.
        """
        from scipy.special import log_softmax

        if not len(texts):
            return np.empty((0, len(CLASSES)))
        with understood(f"base {self._base.name!r}"):
            loaded = self._model()
            return np.asarray(log_softmax(loaded.scores(self._context, texts, progress) - loaded.bias, axis=1))

    def _model(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _Loaded.of(
                self._context,
                load_tokenizer(self._base),
                self._lender.language(self._compute),
                share=self._share,
                agreement=AGREEMENT[self._compute],
                token_budget=self._token_budget,
            )
        return self._loaded


class _Loaded:
    """A model with its tokenizer, and what a context's prompts have in common.

    Attributes
    ----------
    bias : ndarray, shape (3,)
        Logarithms of the shares of the answers to inputs without content; 0 where nothing is calibrated.
    sharing : bool
        Whether what prompts begin with is computed once.
    """

    def __init__(self, tokenizer: Any, answers: Answers, whole: Reader, weights: np.ndarray) -> None:
        self._tokenizer, self._answers, self._whole, self._weights = tokenizer, answers, whole, weights
        self._after: Reader | None = None
        self._start: list[int] = []
        self.bias = np.zeros(len(CLASSES))

    @property
    def sharing(self) -> bool:
        return self._after is not None

    @classmethod
    def of(
        cls, context: Context, tokenizer: Any, model: Any, *, share: bool, agreement: float, token_budget: int | None
    ) -> _Loaded:
        """Find the tokens of the answers and of what is shared, and hold sharing against computing it all."""
        from scipy.special import softmax

        template = context.template
        plain = [template.plain(text, context.specials) for text in PROBES]
        probes = [context.shared + template.question(text) for text in plain]
        answers = Answers.behind(probes, context.labels, tokenizer)
        options: dict[str, Any] = {"pad_id": int(tokenizer.pad_token_id), "token_budget": token_budget}
        lengths = answers.lengths if context.settings.normalise == "length" else np.ones(len(CLASSES))
        loaded = cls(tokenizer, answers, Reader(model, answers, **options), 1.0 / lengths)
        if share:
            followed = (
                probes
                if context.earlier is None
                else [*probes, *map(context.shared.__add__, map(template.earlier, plain))]
            )
            start = common_start(token_ids(followed, tokenizer))
            apart = loaded._scores(probes[:1])
            loaded._start, loaded._after = start, Reader(model, answers, start, **options)
            # An architecture whose cache is not what it computes anew has all of it computed for each text.
            if np.abs(softmax(loaded._scores(probes[:1]), axis=1) - softmax(apart, axis=1)).max() > agreement:
                loaded._start, loaded._after = [], None
        if context.settings.calibrate:
            empty = softmax(loaded._scores(context.content_free()), axis=1)
            loaded.bias = np.log(empty.mean(axis=0))
        return loaded

    def scores(self, context: Context, texts: Sequence[str], progress: Progress | None) -> np.ndarray:
        """Return the log-likelihood of each answer behind each text's prompt, by length where settings say so."""
        return self._scores([context.rendered(text) for text in texts], progress)

    def _scores(self, prompts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        rows = token_ids(prompts, self._tokenizer)
        longest = int(self._answers.lengths.max())
        for at, ids in enumerate(rows):
            if len(ids) + longest > int(self._tokenizer.model_max_length):
                raise DataError(
                    f"text {at}: its prompt has {len(ids)} tokens, the model reads "
                    f"{self._tokenizer.model_max_length}. Lower prompt.max_tokens."
                )
        rows = [ids[: len(ids) - self._answers.healed] for ids in rows]
        kept = len(self._start)
        begin = np.array([self.sharing and len(ids) > kept and ids[:kept] == self._start for ids in rows])
        found = np.empty((len(rows), len(CLASSES)))
        for reader, cut, places in (
            (self._after, kept, np.flatnonzero(begin)),
            (self._whole, 0, np.flatnonzero(~begin)),
        ):
            if reader is not None and len(places):
                done = _onward(progress, 0 if reader is self._after else int(begin.sum()), len(rows))
                found[places] = reader.log_likelihoods([rows[at][cut:] for at in places], done)
        return np.asarray(found * self._weights)


def _onward(progress: Progress | None, before: int, whole: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, _: progress(before + done, whole)


def require_decoder(base: Base) -> None:
    """Raise ConfigError if a base is an encoder, which gives no answer a likelihood."""
    if base.kind != "decoder":
        raise ConfigError(
            f"model.kind = 'prompted': base {base.name!r} is an {base.kind}, which cannot say how likely an answer is. "
            "Name a decoder, such as 'tiny-instruct', or tune this one with kind = 'transformer'."
        )


def _fit(request: FitRequest) -> Fit:
    base = request.base
    assert base is not None
    require_decoder(base)
    settings = request.settings if isinstance(request.settings, PromptSettings) else PromptSettings()
    context = Context.build(settings, request, load_tokenizer(base))
    return Fit(
        PromptedScorer(base, context, shared=request.shared),
        trained_on=[each.text for each in context.shown],
        read=context.read,
        state=context.identity,
        settings=asdict(settings) | {"template_hash": context.template.hash},
        cutoff_source=base.source,
        base_knowledge_cutoff=base.knowledge_cutoff,
    )


PROMPTED = ScorerKind(fit=_fit, settings=PromptSettings, needs_base=True, reads_background=True)
