"""How alike two texts are to an encoder: greedy matching of their tokens, and the angle between them as wholes.

Embeddings come one text at a time out of batches of a fixed shape, so that a text's figures do not depend on which
others are compared. The encoder judges; it is no part of what is judged, and what it knows does not enter any model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.threads import one_thread
from embargo.models.bases.resolve import Base
from embargo.models.evaluation.overlap import Measure, mean_of
from embargo.models.loading.batches import batches
from embargo.models.loading.load import deterministic, device, encode, load_classifier, load_tokenizer, pad

# Tokens after which a text is cut, and tokens, padding included, that are embedded at once.
LONGEST, TOKEN_BUDGET = 256, 2048
# Takes texts and returns, of each, one embedding for each of its tokens: float64 of shape (tokens, width).
Embed = Callable[[Sequence[str]], list[np.ndarray]]


@dataclass(frozen=True)
class TokenMatch:
    """How the tokens of two texts match.

    Attributes
    ----------
    precision, recall, f1 : float
        Cosine similarities in [-1, 1]; 0 where one of the texts has no token.

    Examples
    --------
    >>> from embargo.models.evaluation import TokenMatch
    >>> TokenMatch(precision=0.5, recall=1.0, f1=2 / 3).recall
    1.0
    """

    precision: float
    recall: float
    f1: float


def token_match(output: np.ndarray, reference: np.ndarray) -> TokenMatch:
    """Match every token with the most similar one of the other text, whatever its place.

    Recall is the mean over the reference's tokens of the largest cosine to a token of the output, precision the same
    from the output's side, and F1 their harmonic mean, without weights by rarity and without rescaling.

    Parameters
    ----------
    output, reference : ndarray, shapes (tokens, width)
        Embeddings; their lengths do not matter.

    Returns
    -------
    TokenMatch

    References
    ----------
    Zhang, Kishore, Wu, Weinberger & Artzi 2020, "BERTScore: evaluating text generation with BERT", arXiv 1904.09675,
    section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import token_match
    >>> found = token_match(np.eye(3)[:2], np.eye(3))
    >>> found.precision, round(found.recall, 3), round(found.f1, 3)
    (1.0, 0.667, 0.8)
    """
    if not len(output) or not len(reference):
        return TokenMatch(0.0, 0.0, 0.0)
    if output.shape[1] != reference.shape[1]:
        raise DataError(f"token_match: widths {output.shape[1]} and {reference.shape[1]}; give those of one encoder.")
    cosines = _unit(reference) @ _unit(output).T
    recall, precision = float(cosines.max(axis=1).mean()), float(cosines.max(axis=0).mean())
    total = precision + recall
    return TokenMatch(precision, recall, 2 * precision * recall / total if total > 0 else 0.0)


def text_cosine(output: np.ndarray, reference: np.ndarray) -> float:
    """Return the cosine between the mean embeddings of two texts; 0 where one of them has no token.

    Parameters
    ----------
    output, reference : ndarray, shapes (tokens, width)

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import text_cosine
    >>> round(text_cosine(np.eye(2), np.eye(2)[:1]), 3)
    0.707
    """
    if not len(output) or not len(reference):
        return 0.0
    first, second = _unit(np.stack([output.mean(axis=0), reference.mean(axis=0)]))
    return float(first @ second)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0))


def matching_measures(outputs: Sequence[str], references: Sequence[str], embed: Embed) -> dict[str, Measure]:
    """Measure how alike texts are to an encoder.

    Parameters
    ----------
    outputs, references : sequences of str, length n
    embed : callable
        Such as `encoder_of` gives.

    Returns
    -------
    dict of str to Measure
        ``matched precision``, ``matched recall``, ``matched F1`` (see `token_match`) and ``similarity`` (see
        `text_cosine`). The figures of different encoders are not comparable.

    Raises
    ------
    DataError
        If they are not as many.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.models.evaluation import matching_measures
    >>> letters = lambda texts: [np.array([[float(ord(c) == 97 + k) for k in range(26)] for c in t]) for t in texts]
    >>> round(matching_measures(["aab"], ["abc"], letters)["matched recall"].of_all(), 3)
    0.667
    """
    if len(outputs) != len(references):
        raise DataError(f"matching: {len(outputs)} outputs and {len(references)} references; give as many of each.")
    distinct = sorted(set(outputs) | set(references))
    embedded = dict(zip(distinct, embed(distinct), strict=True))
    pairs = [(embedded[output], embedded[reference]) for output, reference in zip(outputs, references, strict=True)]
    matches = [token_match(*pair) for pair in pairs]
    measures = [
        mean_of("matched precision", "higher", [one.precision for one in matches]),
        mean_of("matched recall", "higher", [one.recall for one in matches]),
        mean_of("matched F1", "higher", [one.f1 for one in matches]),
        mean_of("similarity", "higher", [text_cosine(*pair) for pair in pairs]),
    ]
    return {measure.name: measure for measure in measures}


def encoder_of(base: Base) -> Embed:
    """Return what embeds texts with the last layer of an encoder, in full precision; special tokens are left out.

    Parameters
    ----------
    base : Base

    Returns
    -------
    callable

    Raises
    ------
    ConfigError
        If the base is a decoder, whose tokens know nothing of what follows them.

    Examples
    --------
    >>> from embargo.models import Base
    >>> from embargo.models.evaluation import encoder_of
    >>> encoder_of(Base("mine", "/models/mine", "decoder", None, "not documented", weights_hash="ab12"))
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: base 'mine' is a decoder; texts are compared with an encoder's tokens.
    """
    if base.kind != "encoder":
        raise ConfigError(f"base {base.name!r} is a decoder; texts are compared with an encoder's tokens.")
    with deterministic(0):
        model, _ = load_classifier(base, method="lora", compute="fp32")
    body, tokenizer = getattr(model, model.base_model_prefix), load_tokenizer(base)

    def embed(texts: Sequence[str]) -> list[np.ndarray]:
        import torch

        found: list[np.ndarray] = [np.empty((0, 1))] * len(texts)
        there = [row for row, text in enumerate(texts) if text.strip()]
        tokens = encode(tokenizer, [texts[row] for row in there], LONGEST)
        with torch.inference_mode(), one_thread():
            for chosen, length, size in batches([len(ids) for ids in tokens], token_budget=TOKEN_BUDGET):
                filled = chosen + [chosen[0]] * (size - len(chosen))
                ids, mask = pad([tokens[at] for at in filled], tokenizer.pad_token_id, length)
                hidden = body(input_ids=ids.to(device()), attention_mask=mask.to(device())).last_hidden_state
                rows = hidden.double().cpu().numpy()
                for line, at in enumerate(chosen):
                    special = tokenizer.get_special_tokens_mask(list(tokens[at]), already_has_special_tokens=True)
                    found[there[at]] = rows[line, : len(tokens[at])][~np.array(special, dtype=bool)]
        return found

    return embed
