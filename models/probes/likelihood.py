"""How likely a causal language model finds a text, token by token, and what that says of having been trained on it.

Min-K%++ asks of the least likely tokens how they stand among all tokens that the model could have expected there: a
text that was trained on sits at peaks of the model's expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.resolve import Base
from embargo.models.loading.language import load_language_model
from embargo.models.loading.load import load_tokenizer

# Share of tokens, the least likely ones, that make the score.
LEAST_LIKELY = 0.2
BATCH = 16
# Below this the model expects one token for certain, and where a token stands among others has no meaning.
_CERTAIN = 1e-6


@dataclass(frozen=True)
class TokenLikelihoods:
    """What a causal model expected at each token of one text but the first.

    Attributes
    ----------
    log_prob : ndarray, shape (tokens,)
        Natural log-probability of the token that stands there.
    mean, deviation : ndarray, shape (tokens,)
        Of the log-probability over the vocabulary, weighted by the probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.probes import TokenLikelihoods
    >>> TokenLikelihoods.of(np.log([[0.5, 0.25, 0.25]]), np.array([0])).mean.round(3).tolist()
    [-1.04]
    """

    log_prob: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, logits: np.ndarray, tokens: np.ndarray) -> TokenLikelihoods:
        """Work them out from the logits at each place and the token that stands there.

        Parameters
        ----------
        logits : ndarray, shape (tokens, vocabulary)
            Unnormalised.
        tokens : ndarray of int, shape (tokens,)

        Returns
        -------
        TokenLikelihoods
        """
        scores = np.asarray(logits, dtype=float)
        scores = scores - scores.max(axis=1, keepdims=True)
        log_probs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        probs = np.exp(log_probs)
        # Impossible tokens weigh nothing; minus infinity times zero is no number.
        expected = np.where(probs > 0.0, log_probs, 0.0)
        mean = (probs * expected).sum(axis=1)
        deviation = np.sqrt((probs * (expected - mean[:, None]) ** 2).sum(axis=1))
        return cls(log_probs[np.arange(len(tokens)), tokens], mean, deviation)


def min_k_plus_plus(likelihoods: TokenLikelihoods, *, k: float = LEAST_LIKELY) -> float:
    """Score how much a text looks trained on: the mean standing of its least likely tokens.

    Parameters
    ----------
    likelihoods : TokenLikelihoods
    k : float
        Share of the tokens in (0, 1], the lowest; at least one token.

    Returns
    -------
    float
        In standard deviations of the model's expectation; higher is more familiar. NaN without tokens. Places where the
        model was certain are left out.

    Raises
    ------
    ConfigError
        If ``k`` is outside (0, 1].

    References
    ----------
    Zhang, Sun, Yeats, Ouyang, Kuo, Zhang, Yang and Li (2024), "Min-K%++: Improved Baseline for Detecting Pre-Training
    Data from Large Language Models", arXiv 2404.02936, equations 3 and 4; after Shi et al. (2023), "Detecting
    Pretraining Data from Large Language Models", arXiv 2310.16789 (Min-K%).

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.probes import TokenLikelihoods, min_k_plus_plus
    >>> logits = np.log([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    >>> likely, unlikely = (TokenLikelihoods.of(logits, np.array(tokens)) for tokens in ([0, 2], [2, 0]))
    >>> round(min_k_plus_plus(likely, k=1.0), 2), round(min_k_plus_plus(unlikely, k=1.0), 2)
    (0.78, -1.86)
    """
    _check_share(k)
    known = likelihoods.deviation > _CERTAIN
    if not known.any():
        return float("nan")
    standing = np.sort((likelihoods.log_prob[known] - likelihoods.mean[known]) / likelihoods.deviation[known])
    return float(standing[: max(1, int(k * len(standing)))].mean())


def membership_scores(
    model: Any, tokenizer: Any, texts: Sequence[str], *, k: float = LEAST_LIKELY, max_tokens: int = 256
) -> np.ndarray:
    """Score texts with Min-K%++ on a causal model.

    Parameters
    ----------
    model : PreTrainedModel
        Causal, from transformers; read in evaluation mode, without gradients.
    tokenizer : PreTrainedTokenizerBase
        Its own.
    texts : sequence of str
    k : float
        See `min_k_plus_plus`.
    max_tokens : int
        Tokens read of each text, at least 2.

    Returns
    -------
    ndarray, float64 of shape (len(texts),)
        NaN for a text of fewer than two tokens.

    Raises
    ------
    ConfigError
        If ``max_tokens`` is below 2, or ``k`` out of range.
    DataError
        If the tokenizer has nothing to pad with.

    Examples
    --------
    >>> import torch, transformers
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from embargo.models.probes import membership_scores
    >>> words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "profit": 2, "rose": 3}, unk_token="[UNK]"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")
    >>> ends = {"bos_token_id": 0, "eos_token_id": 0}
    >>> shape = transformers.GPT2Config(vocab_size=4, n_embd=8, n_layer=1, n_head=1, n_positions=8, **ends)
    >>> membership_scores(transformers.GPT2LMHeadModel(shape), tokenizer, ["profit rose", "rose"]).shape
    (2,)
    """
    import torch

    _check_share(k)
    if max_tokens < 2:
        raise ConfigError(f"membership: max_tokens must be 2 or more, got {max_tokens}.")
    if tokenizer.pad_token_id is None:
        raise DataError("membership: the tokenizer has no padding token. Set pad_token, for instance to its eos_token.")
    model.eval()
    scores = np.full(len(texts), np.nan)
    # Texts of like length together waste little on padding; places keep the order.
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        tokens = [tokenizer(texts[row], truncation=True, max_length=max_tokens)["input_ids"] for row in rows]
        width = max(2, *map(len, tokens))
        padded = torch.full((len(rows), width), int(tokenizer.pad_token_id))
        seen = torch.zeros((len(rows), width), dtype=torch.long)
        for place, ids in enumerate(tokens):
            padded[place, : len(ids)], seen[place, : len(ids)] = torch.tensor(ids, dtype=torch.long), 1
        with torch.no_grad(), one_thread():
            logits = model(input_ids=padded.to(model.device), attention_mask=seen.to(model.device)).logits
        for place, (row, ids) in enumerate(zip(rows, tokens, strict=True)):
            if len(ids) > 1:
                expected = logits[place, : len(ids) - 1].float().cpu().numpy()
                scores[row] = min_k_plus_plus(TokenLikelihoods.of(expected, np.array(ids[1:])), k=k)
    return scores


def base_familiarity(base: Base, texts: Sequence[str]) -> np.ndarray:
    """Score texts with Min-K%++ on a decoder, as the language model that it was trained as.

    Parameters
    ----------
    base : Base
        A decoder.
    texts : sequence of str

    Returns
    -------
    ndarray, float64 of shape (len(texts),)
        See `membership_scores`.

    Raises
    ------
    ConfigError
        If the base is an encoder, which gives texts no likelihood.
    MissingPartError
        If its checkpoint has no language-modelling head.

    Examples
    --------
    >>> from embargo.models import Base
    >>> from embargo.models.probes import base_familiarity
    >>> base_familiarity(Base("mine", "/models/mine", "encoder", None, "", weights_hash="ab"), ["A text."])
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: membership: base 'mine' is an encoder, which gives texts no likelihood.
    """
    if base.kind != "decoder":
        raise ConfigError(f"membership: base {base.name!r} is an {base.kind}, which gives texts no likelihood.")
    return membership_scores(load_language_model(base), load_tokenizer(base), texts)


def _check_share(k: float) -> None:
    if not 0.0 < k <= 1.0:
        raise ConfigError(f"min-k: k must lie in (0, 1], got {k}. It is a share of the tokens, such as 0.2.")
