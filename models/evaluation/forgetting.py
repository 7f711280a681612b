"""What a model unlearned of plain language while it was tuned: its loss on general text before and after.

Both are measured with the same language-modelling head, that of the base's own checkpoint, on the same tokens and in
the same arithmetic, so that an adapter that changed nothing forgot exactly nothing. A base without such a head is said
to have none, and the drift of its embeddings is measured in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError, MissingPartError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.resolve import Base
from embargo.models.content import text_hash
from embargo.models.evaluation.general_texts import GENERAL_TEXTS
from embargo.models.evaluation.resampling import bootstrap_weights, check_resampling, percentile_interval
from embargo.models.loading.batches import batches
from embargo.models.loading.language import NoHeadError, load_language_model
from embargo.models.loading.load import (
    as_stored,
    dequantise,
    deterministic,
    device,
    encode,
    load_classifier,
    load_tokenizer,
    pad,
)
from embargo.models.methods.cards import METHODS
from embargo.models.scorers.transformer import scoring_model
from embargo.models.tuning.adapters import Adapter

ForgettingMeasure = Literal["masked loss", "causal loss", "embedding drift"]

LONGEST = 128
# Each token is hidden once, in this many rounds: a seventh at a time is about the share that encoders learnt from.
ROUNDS = 7
TOKEN_BUDGET = 512


@dataclass(frozen=True)
class Forgetting:
    """How far a model moved on general text.

    Attributes
    ----------
    measure : {"masked loss", "causal loss", "embedding drift"}
        Losses are in nats a token (their exponential is the perplexity); drift is 1 - cosine of a text's embedding
        before and after, in [0, 2].
    before, after : float or None
        Loss of the base and of the tuned model; None for drift.
    difference : float
        After less before; above 0 is forgotten. The mean drift, where that is measured.
    low, high, level : float
        Interval of the difference: texts are drawn anew, and each brings its before and its after.
    n_texts, n_tokens : int
        Tokens that were predicted, or that went into the embeddings.
    note : str
        What was measured, and why not something else.

    Examples
    --------
    >>> from embargo.models import Forgetting
    >>> found = Forgetting("masked loss", 2.1, 2.4, 0.3, 0.2, 0.4, 0.95, 60, 600, "nats a token")
    >>> found.difference > 0, found.to_dict()["measure"]
    (True, 'masked loss')
    """

    measure: ForgettingMeasure
    before: float | None
    after: float | None
    difference: float
    low: float
    high: float
    level: float
    n_texts: int
    n_tokens: int
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-able."""
        return asdict(self)


def measure_forgetting(
    base: Base,
    adapter: Adapter,
    texts: Sequence[str] = GENERAL_TEXTS,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Forgetting:
    """Measure the loss on general text before and after tuning or, without a language-modelling head, the drift.

    Errors as of `language_loss` and `embedding_drift`.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    texts : sequence of str
        General text; cut at 128 tokens. By default sixty sentences of everyday English.
    seed : int
        Of the masks, where there are any, and of the bootstrap.
    resamples : int
        Bootstrap samples of texts.
    level : float
        Coverage of the interval.

    Returns
    -------
    Forgetting

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base, measure_forgetting
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "prompt"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> measure_forgetting(base, adapter)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: forgetting of adapter adapter-1f: 'prompt' leaves the ...
    """
    try:
        return language_loss(base, adapter, texts, seed=seed, resamples=resamples, level=level)
    except NoHeadError as failure:
        said = f"{failure} The drift of its embeddings is what can be told."
        return embedding_drift(base, adapter, texts, seed=seed, resamples=resamples, level=level, note=said)


def language_loss(
    base: Base,
    adapter: Adapter,
    texts: Sequence[str] = GENERAL_TEXTS,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Forgetting:
    """Measure how well a model predicts general text before and after tuning, under the base's own head.

    An encoder fills in masked tokens: each once, a seventh of a text at a time, the others in sight (a cheaper
    pseudo-log-likelihood). A decoder predicts each token from those before it. Before is the base in the precision the
    tuning held it in, so that rounding to 4 bits is not counted as forgetting; the head is never the tuned one, even
    where it shares the embeddings' weights.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    texts : sequence of str
        General text; cut at 128 tokens. By default sixty sentences of everyday English.
    seed : int
        Of the masks, which depend on it and on the text alone, and of the bootstrap.
    resamples : int
        Bootstrap samples of texts.
    level : float
        Coverage of the interval.

    Returns
    -------
    Forgetting

    Raises
    ------
    MissingPartError
        If the base's checkpoint has no language-modelling head, or an encoder's tokenizer no mask token.
    ConfigError
        If the adapter cannot be merged or belongs to another base, or level or resamples are out of range.
    DataError
        If there are fewer than two texts, one has no token, or the adapter's files were changed.

    References
    ----------
    Salazar et al. 2020, "Masked language model scoring", ACL. Luo et al. 2023, "An empirical study of catastrophic
    forgetting in large language models during continual fine-tuning", arXiv 2308.08747.

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "lora"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> from embargo.models.evaluation import language_loss
    >>> language_loss(base, adapter, ["One sentence alone."])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.DataError: forgetting: 1 texts give no interval. Give two or more, some ...
    """
    _check(adapter, texts, resamples, level)
    model, tokenizer = load_language_model(base), load_tokenizer(base)
    tokens = encode(tokenizer, texts, LONGEST)
    if base.kind == "encoder":
        tasks = _masked(base, tokenizer, texts, tokens, seed)
    else:
        tasks = [_Task(row, ids, ids, range(1, len(ids))) for row, ids in enumerate(tokens)]
    counts = np.bincount([task.row for task in tasks], [len(task.places) for task in tasks], len(texts))
    if not counts.sum():
        raise DataError(f"forgetting of adapter {adapter.path.name}: no text has a token to predict. Give longer ones.")
    sums = []
    for load in (_untuned, _tuned):
        _put_body(load(base, adapter), model, base)
        sums.append(_loss(model.to(device()).eval(), tasks, len(texts), tokenizer.pad_token_id, base.kind))
        model.cpu()
    before, after = (float(total.sum() / counts.sum()) for total in sums)
    low, high = _interval(sums[1] - sums[0], counts, seed, resamples, level)
    return Forgetting(
        measure="masked loss" if base.kind == "encoder" else "causal loss",
        before=before,
        after=after,
        difference=float((sums[1] - sums[0]).sum() / counts.sum()),
        low=low,
        high=high,
        level=level,
        n_texts=len(texts),
        n_tokens=int(counts.sum()),
        note=f"nats a token under the head of base {base.name!r}",
    )


def embedding_drift(
    base: Base,
    adapter: Adapter,
    texts: Sequence[str] = GENERAL_TEXTS,
    *,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
    note: str = "",
) -> Forgetting:
    """Measure how far mean-pooled embeddings of general text turned in tuning: 1 - cosine, 0 if not at all.

    It says that a model moved, not that it became worse: a loss says more where it can be had. Errors as of
    `language_loss`, but no head is needed.

    Parameters
    ----------
    base : Base
    adapter : Adapter
        Tuned on this base, with a method that can be merged.
    texts : sequence of str
        General text; cut at 128 tokens. By default sixty sentences of everyday English.
    seed : int
        Of the masks, where there are any, and of the bootstrap.
    resamples : int
        Bootstrap samples of texts.
    level : float
        Coverage of the interval.
    note : str
        Handed on to the result.

    Returns
    -------
    Forgetting

    Examples
    --------
    >>> from pathlib import Path
    >>> from embargo.models import Adapter, Base
    >>> base = Base("mine", "/models/mine", "encoder", None, "not documented", weights_hash="ab12")
    >>> tuned_on = {"base": {"name": "other", "weights_hash": "cd34"}, "settings": {"method": "lora"}}
    >>> adapter = Adapter(Path("cache/adapters/adapter-1f"), "9c0e", tuned_on, ())
    >>> from embargo.models.evaluation import embedding_drift
    >>> embedding_drift(base, adapter, ["One sentence.", "Another."], level=2.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: forgetting: level 2.0 must lie in (0, 1) and resamples ...
    """
    _check(adapter, texts, resamples, level)
    tokenizer = load_tokenizer(base)
    tokens = encode(tokenizer, texts, LONGEST)
    first, second = (
        _embeddings(_body(load(base, adapter)), tokens, tokenizer.pad_token_id) for load in (_untuned, _tuned)
    )
    # Half the squared distance of unit vectors is 1 - cosine, and exactly 0 for equal ones.
    drift = ((first - second) ** 2).sum(axis=1) / 2
    low, high = _interval(drift, np.ones(len(texts)), seed, resamples, level)
    return Forgetting(
        measure="embedding drift",
        before=None,
        after=None,
        difference=float(drift.mean()),
        low=low,
        high=high,
        level=level,
        n_texts=len(texts),
        n_tokens=sum(map(len, tokens)),
        note=note or f"1 - cosine of mean-pooled embeddings of base {base.name!r}",
    )


def _check(adapter: Adapter, texts: Sequence[str], resamples: int, level: float) -> None:
    method = adapter.manifest["settings"]["method"]
    if method == "none":
        raise ConfigError(
            f"forgetting of adapter {adapter.path.name}: nothing was tuned, the model is its base. There is nothing to "
            "measure."
        )
    if not METHODS[method].mergeable:
        raise ConfigError(
            f"forgetting of adapter {adapter.path.name}: {method!r} leaves the base's weights as they are; without its "
            "virtual tokens the model reads general text as before. There is nothing to measure."
        )
    check_resampling(level, resamples, what="forgetting")
    if len(texts) < 2:
        raise DataError(f"forgetting: {len(texts)} texts give no interval. Give two or more, some dozens at best.")


def _untuned(base: Base, adapter: Adapter) -> Any:
    import torch

    settings = adapter.manifest["settings"]
    card = METHODS[settings["method"]]
    with deterministic(0):
        model, _ = load_classifier(
            base, method=card.name, compute="fp32" if card.name == "full" else settings["compute"]
        )
    if card.quantised:
        dequantise(model, torch.float32)
    return as_stored(model.to(torch.float32).eval())


def _tuned(base: Base, adapter: Adapter) -> Any:
    return as_stored(scoring_model(base, adapter, "fp32"))


def _body(model: Any) -> Any:
    return getattr(model, model.base_model_prefix)


def _put_body(source: Any, model: Any, base: Base) -> None:
    body, weights = _body(model), _body(source).state_dict()
    wanted = body.state_dict()
    strange = [name for name in wanted if name not in weights or weights[name].shape != wanted[name].shape]
    if strange:
        raise NoHeadError(
            f"base {base.name!r}: its language model and its classifier do not share one body ({strange[0]} differs)."
        )
    body.load_state_dict({name: weights[name] for name in wanted})


@dataclass(frozen=True)
class _Task:
    """A text as the model reads it, and the places of the tokens it is asked for."""

    row: int
    tokens: Sequence[int]
    truth: Sequence[int]
    places: Sequence[int]


def _masked(
    base: Base, tokenizer: Any, texts: Sequence[str], tokens: Sequence[Sequence[int]], seed: int
) -> list[_Task]:
    if tokenizer.mask_token_id is None:
        raise MissingPartError(f"base {base.name!r}: its tokenizer has no mask token. Measure embedding_drift instead.")
    tasks = []
    for row, (text, ids) in enumerate(zip(texts, tokens, strict=True)):
        special = np.array(tokenizer.get_special_tokens_mask(list(ids), already_has_special_tokens=True), dtype=bool)
        rng = np.random.default_rng([seed, int(text_hash(text)[:16], 16)])
        order = rng.permutation(np.flatnonzero(~special))
        for start in range(min(ROUNDS, len(order))):
            hidden = np.array(ids)
            places = order[start::ROUNDS]
            hidden[places] = tokenizer.mask_token_id
            tasks.append(_Task(row, hidden.tolist(), ids, places.tolist()))
    return tasks


def _loss(model: Any, tasks: Sequence[_Task], n: int, pad_id: int, kind: str) -> np.ndarray:
    """Return the loss of each text in nats, shape (n,), summed over the tokens that were asked for."""
    import torch

    total = np.zeros(n)
    # A decoder's word on a token is found one place before it.
    shift = 1 if kind == "decoder" else 0
    with torch.inference_mode(), one_thread():
        for chosen, length, _ in batches([len(task.tokens) for task in tasks], token_budget=TOKEN_BUDGET):
            ids, mask = pad([tasks[at].tokens for at in chosen], pad_id, length)
            logits = model(input_ids=ids.to(device()), attention_mask=mask.to(device())).logits
            for line, at in enumerate(chosen):
                task = tasks[at]
                asked = logits[line, [place - shift for place in task.places]].float()
                truth = torch.tensor([task.truth[place] for place in task.places], dtype=torch.int64, device=device())
                total[task.row] += float(torch.nn.functional.cross_entropy(asked, truth, reduction="sum"))
    return total


def _embeddings(body: Any, tokens: Sequence[Sequence[int]], pad_id: int) -> np.ndarray:
    import torch

    rows: dict[int, np.ndarray] = {}
    with torch.inference_mode(), one_thread():
        for chosen, length, _ in batches([len(ids) for ids in tokens], token_budget=TOKEN_BUDGET):
            ids, mask = pad([tokens[at] for at in chosen], pad_id, length)
            hidden = body(input_ids=ids.to(device()), attention_mask=mask.to(device())).last_hidden_state.double().cpu()
            weights = mask.double()[:, :, None]
            means = torch.nn.functional.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=1)
            rows.update(zip(chosen, means.numpy(), strict=True))
    return np.array([rows[at] for at in range(len(tokens))])


def _interval(
    differences: np.ndarray, counts: np.ndarray, seed: int, resamples: int, level: float
) -> tuple[float, float]:
    drawn = []
    for weights in bootstrap_weights(len(counts), resamples, seed=seed):
        tokens = weights @ counts
        drawn.append(np.divide(weights @ differences, tokens, out=np.zeros(len(tokens)), where=tokens > 0))
    return percentile_interval(np.concatenate(drawn), level)
