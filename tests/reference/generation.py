"""ROUGE, BLEU and the greedy matching of tokens, counted out one n-gram and one pair at a time.

Slow on purpose and without a library, so that it can contradict `embargo.models.evaluation`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))


def f1(hits: int, output: int, reference: int) -> float:
    if not hits:
        return 0.0
    precision, recall = hits / output, hits / reference
    return 2 * precision * recall / (precision + recall)


def rouge_n(output: Sequence[str], reference: Sequence[str], n: int) -> float:
    first, second = ngrams(output, n), ngrams(reference, n)
    hits = sum(min(count, second[gram]) for gram, count in first.items())
    return f1(hits, sum(first.values()), sum(second.values()))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    if not first or not second:
        return 0
    if first[-1] == second[-1]:
        return 1 + common_subsequence(first[:-1], second[:-1])
    return max(common_subsequence(first[:-1], second), common_subsequence(first, second[:-1]))


def rouge_l(output: Sequence[str], reference: Sequence[str]) -> float:
    return f1(common_subsequence(output, reference), len(output), len(reference))


def bleu(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU of tokens with one reference each, over the orders that the outputs have n-grams of."""
    logs, halving = [], 1.0
    any_hit = False
    for n in range(1, 5):
        hits = total = 0
        for output, reference in zip(outputs, references, strict=True):
            wanted = ngrams(reference, n)
            for gram, count in ngrams(output, n).items():
                hits += min(count, wanted[gram])
                total += count
        if not total:
            break
        any_hit = any_hit or hits > 0
        if hits:
            logs.append(math.log(hits / total))
        else:
            halving *= 2
            logs.append(math.log(1 / (halving * total)))
    if not any_hit:
        return 0.0
    length, wanted_length = sum(map(len, outputs)), sum(map(len, references))
    brevity = 0.0 if length >= wanted_length else 1 - wanted_length / length
    return 100 * math.exp(sum(logs) / len(logs) + brevity)


def matched(output: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """(precision, recall, F1) of Zhang et al. 2020, token by token."""

    def cosine(a: Sequence[float], b: Sequence[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    recall = sum(max(cosine(x, y) for y in output) for x in reference) / len(reference)
    precision = sum(max(cosine(x, y) for x in reference) for y in output) / len(output)
    return precision, recall, 2 * precision * recall / (precision + recall)
