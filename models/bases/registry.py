"""Published base models, the latest instant their weights can know, and where that is said.

A cutoff is *documented* where a model card or paper dates all that the published weights were trained on. Elsewhere the
month of publication stands for it, a *release* bound, since no checkpoint knows what happened after it was published:
where nobody gives a date, where only the pretraining is dated and the weights were tuned afterwards, and where the
stated date is contested.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pandas as pd

Kind = Literal["encoder", "decoder"]
Evidence = Literal["documented", "release"]

MINILM = "minilm"
PHRASEBANK = "financial_phrasebank"
# Of two names that differ by no digit: the share of common characters from which one is taken for the other, mistyped.
MISTYPED = 0.9
SIMILAR = 0.6


@dataclass(frozen=True)
class KnownBase:
    """What is documented about a published checkpoint.

    Attributes
    ----------
    kind : {"encoder", "decoder"}
    knowledge_cutoff : str
        Last day, UTC, that its weights could know.
    evidence : {"documented", "release"}
        Whether a card or paper states the cutoff, or the date of publication merely bounds it from above.
    source : str
        Where that is said.
    parameters : int or None
        Size as its publisher states it; None where not looked up.
    exposures : tuple of str
        Labelled sets it was tuned on, on which its accuracy is therefore no evidence.
    """

    kind: Kind
    knowledge_cutoff: str
    evidence: Evidence
    source: str
    parameters: int | None = None
    exposures: tuple[str, ...] = ()


_M, _B = 10**6, 10**9
_TUNED = "the card dates the pretraining only, the tuning data are undated: month of release, an upper bound"

_BERT = "Wikipedia and BookCorpus, undated (Devlin et al. 2018, arXiv 1810.04805): month of release, an upper bound"
_ROBERTA = (
    "CC-News to February 2019 and undated web text (Liu et al. 2019, arXiv 1907.11692): month of the paper, an upper "
    "bound"
)
_DEBERTA = "undated corpora (He et al. 2021, arXiv 2111.09543): month of the paper, an upper bound"
_ELECTRA = "undated corpora (Clark et al. 2020, arXiv 2003.10555): month of the paper, an upper bound"
_MODERNBERT = "no date is given for its data (Warner et al. 2024, arXiv 2412.13663): month of the paper, an upper bound"
_SENTENCES = (
    "a billion sentence pairs without a common date, the work of a community week in 2021 (model card): end of that "
    "year, an upper bound"
)
_FINBERT_HKUST = (
    "10-K and 10-Q reports, earnings calls and analyst reports without dates (Yang et al. 2020, arXiv 2006.08097); the "
    "card cites a paper of 2022: end of that year, an upper bound"
)
_ENCODERS: dict[str, KnownBase] = {
    MINILM: KnownBase("encoder", "2021-12-31", "release", _SENTENCES),
    "sentence-transformers/all-MiniLM-L6-v2": KnownBase("encoder", "2021-12-31", "release", _SENTENCES),
    "google-bert/bert-base-uncased": KnownBase("encoder", "2018-10-31", "release", _BERT, 110 * _M),
    "google-bert/bert-base-cased": KnownBase("encoder", "2018-10-31", "release", _BERT, 110 * _M),
    "google-bert/bert-large-uncased": KnownBase("encoder", "2018-10-31", "release", _BERT, 340 * _M),
    "distilbert/distilbert-base-uncased": KnownBase(
        "encoder",
        "2019-10-31",
        "release",
        "distilled on BERT's corpus (Sanh et al. 2019, arXiv 1910.01108): month of the paper, an upper bound",
        66 * _M,
    ),
    "FacebookAI/roberta-base": KnownBase("encoder", "2019-07-31", "release", _ROBERTA, 125 * _M),
    "FacebookAI/roberta-large": KnownBase("encoder", "2019-07-31", "release", _ROBERTA, 355 * _M),
    "microsoft/deberta-v3-small": KnownBase("encoder", "2021-11-30", "release", _DEBERTA),
    "microsoft/deberta-v3-base": KnownBase("encoder", "2021-11-30", "release", _DEBERTA),
    "microsoft/deberta-v3-large": KnownBase("encoder", "2021-11-30", "release", _DEBERTA),
    "google/electra-small-discriminator": KnownBase("encoder", "2020-03-31", "release", _ELECTRA, 14 * _M),
    "google/electra-base-discriminator": KnownBase("encoder", "2020-03-31", "release", _ELECTRA, 110 * _M),
    "google/electra-large-discriminator": KnownBase("encoder", "2020-03-31", "release", _ELECTRA, 335 * _M),
    "answerdotai/ModernBERT-base": KnownBase("encoder", "2024-12-31", "release", _MODERNBERT, 149_655_232),
    "answerdotai/ModernBERT-large": KnownBase("encoder", "2024-12-31", "release", _MODERNBERT, 395_881_664),
    "ProsusAI/finbert": KnownBase(
        "encoder",
        "2021-03-31",
        "release",
        "BERT's corpus, Reuters TRC2 and the Financial PhraseBank (Araci 2019, arXiv 1908.10063); on the hub by 9 "
        "March 2021 (issue 42 of its repository): that month, an upper bound",
        109 * _M,
        (PHRASEBANK,),
    ),
    "yiyanghkust/finbert-pretrain": KnownBase("encoder", "2022-12-31", "release", _FINBERT_HKUST),
    "yiyanghkust/finbert-tone": KnownBase(
        "encoder", "2022-12-31", "release", _FINBERT_HKUST, exposures=("finbert_analyst_tone",)
    ),
    "ahmedrachid/FinancialBERT-Sentiment-Analysis": KnownBase(
        "encoder",
        "2022-01-31",
        "release",
        "undated financial texts (model card); weights uploaded on 1 January 2022 (its history): that month, an upper "
        "bound",
        exposures=(PHRASEBANK,),
    ),
    "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis": KnownBase(
        "encoder",
        "2021-09-30",
        "release",
        "undated corpora; the training run beside the weights is of 16 September 2021: that month, an upper bound",
        exposures=(PHRASEBANK,),
    ),
}

# Per family of decoders: (names and sizes), cutoff, evidence, source.
_Family = tuple[Mapping[str, int | None], str, Evidence, str]
_DECODERS: tuple[_Family, ...] = (
    (
        {
            "openai-community/gpt2": 124 * _M,
            "openai-community/gpt2-medium": 355 * _M,
            "openai-community/gpt2-large": 774 * _M,
            "openai-community/gpt2-xl": 1558 * _M,
        },
        "2017-12-31",
        "documented",
        "WebText without links created after December 2017 (Radford et al. 2019, section 2.1)",
    ),
    (
        {
            "meta-llama/Llama-2-7b-hf": 7 * _B,
            "meta-llama/Llama-2-13b-hf": 13 * _B,
            "meta-llama/Llama-2-70b-hf": 70 * _B,
        },
        "2022-09-30",
        "documented",
        "model card of Llama 2 (meta-llama/llama, MODEL_CARD.md): pretraining data to September 2022",
    ),
    (
        {
            "meta-llama/Llama-2-7b-chat-hf": 7 * _B,
            "meta-llama/Llama-2-13b-chat-hf": 13 * _B,
            "meta-llama/Llama-2-70b-chat-hf": 70 * _B,
        },
        "2023-07-31",
        "documented",
        "model card of Llama 2 (meta-llama/llama, MODEL_CARD.md): tuning data up to July 2023",
    ),
    (
        {"meta-llama/Meta-Llama-3-8B": 8 * _B},
        "2023-03-31",
        "documented",
        "model card of Llama 3, released 18 April 2024: knowledge cutoff March 2023 for 8B",
    ),
    (
        {"meta-llama/Meta-Llama-3-70B": 70 * _B},
        "2023-12-31",
        "documented",
        "model card of Llama 3, released 18 April 2024: knowledge cutoff December 2023 for 70B",
    ),
    (
        {"meta-llama/Meta-Llama-3-8B-Instruct": 8 * _B, "meta-llama/Meta-Llama-3-70B-Instruct": 70 * _B},
        "2024-04-30",
        "release",
        f"Llama 3, released 18 April 2024: {_TUNED}",
    ),
    (
        {"meta-llama/Llama-3.1-8B": 8 * _B, "meta-llama/Llama-3.1-70B": 70 * _B},
        "2023-12-31",
        "documented",
        "model card of Llama 3.1 (meta-llama/llama-models), released 23 July 2024: pretraining data to December 2023",
    ),
    (
        {"meta-llama/Llama-3.1-8B-Instruct": 8 * _B, "meta-llama/Llama-3.1-70B-Instruct": 70 * _B},
        "2024-07-31",
        "release",
        f"Llama 3.1, released 23 July 2024: {_TUNED}",
    ),
    (
        {"meta-llama/Llama-3.2-1B": 1_230 * _M, "meta-llama/Llama-3.2-3B": 3_210 * _M},
        "2023-12-31",
        "documented",
        "model card of Llama 3.2 (meta-llama/llama-models), released 25 September 2024: knowledge cutoff December 2023",
    ),
    (
        {"meta-llama/Llama-3.2-1B-Instruct": 1_230 * _M, "meta-llama/Llama-3.2-3B-Instruct": 3_210 * _M},
        "2024-09-30",
        "release",
        f"Llama 3.2, released 25 September 2024: {_TUNED}",
    ),
    (
        {
            f"Qwen/Qwen2-{size}{tuned}": count
            for size, count in (("0.5B", 500 * _M), ("1.5B", 1_500 * _M), ("7B", 7 * _B), ("72B", 72 * _B))
            for tuned in ("", "-Instruct")
        },
        "2024-06-30",
        "release",
        "corpus not disclosed; released on 6 June 2024 (README of QwenLM/Qwen3): that month, an upper bound",
    ),
    (
        {
            f"Qwen/Qwen2.5-{size}B{tuned}": int(float(size) * _B)
            for size in ("0.5", "1.5", "3", "7", "14", "32", "72")
            for tuned in ("", "-Instruct")
        },
        "2024-09-30",
        "release",
        "corpus not disclosed; released on 19 September 2024 (README of QwenLM/Qwen3): that month, an upper bound",
    ),
    (
        {
            f"Qwen/Qwen3-{size}B{tuned}": int(float(size) * _B)
            for size in ("0.6", "1.7", "4", "8", "14")
            for tuned in ("", "-Base")
        }
        | {"Qwen/Qwen3-32B": 32 * _B},
        "2025-04-30",
        "release",
        "corpus not disclosed; released on 29 April 2025 (README of QwenLM/Qwen3): that month, an upper bound",
    ),
    (
        {"google/gemma-2b": None, "google/gemma-2b-it": None, "google/gemma-7b": None, "google/gemma-7b-it": None},
        "2024-03-31",
        "release",
        "no date is given for its data: month of the paper (arXiv 2403.08295), an upper bound",
    ),
    (
        {"google/gemma-2-9b": 9 * _B, "google/gemma-2-9b-it": 9 * _B}
        | {"google/gemma-2-27b": 27 * _B, "google/gemma-2-27b-it": 27 * _B},
        "2024-06-30",
        "release",
        "no date is given for its data; released on 27 June 2024 (Hugging Face blog): that month, an upper bound",
    ),
    (
        {"google/gemma-2-2b": 2 * _B, "google/gemma-2-2b-it": 2 * _B},
        "2024-07-31",
        "release",
        "no date is given for its data; released on 31 July 2024 (Hugging Face blog): that month, an upper bound",
    ),
    (
        {f"google/gemma-3-{size}b-{form}": size * _B for size in (1, 4, 12, 27) for form in ("pt", "it")},
        "2025-03-31",
        "release",
        "the card's August 2024 (ai.google.dev) is contested: month of release, 12 March 2025, an upper bound",
    ),
    (
        {"mistralai/Mistral-7B-v0.1": 7 * _B, "mistralai/Mistral-7B-Instruct-v0.1": 7 * _B},
        "2023-10-31",
        "release",
        "corpus not disclosed; released on 27 September 2023: month of the paper (arXiv 2310.06825), an upper bound",
    ),
    (
        {"mistral-community/Mistral-7B-v0.2": 7 * _B, "mistralai/Mistral-7B-Instruct-v0.2": 7 * _B},
        "2024-03-31",
        "release",
        "corpus not disclosed; v0.2 out by 23 March 2024 (Ollama library): that month, an upper bound",
    ),
    (
        {"mistralai/Mistral-7B-v0.3": 7 * _B, "mistralai/Mistral-7B-Instruct-v0.3": 7 * _B},
        "2024-05-31",
        "release",
        "corpus not disclosed; v0.3 released on 22 May 2024 (Ollama library): that month, an upper bound",
    ),
    (
        {"microsoft/phi-1_5": 1_300 * _M},
        "2023-09-30",
        "release",
        "textbooks of undated text (arXiv 2309.05463): month of the paper, an upper bound",
    ),
    (
        {"microsoft/phi-2": 2_700 * _M},
        "2023-12-31",
        "release",
        "undated web and synthetic text; announced in 2023 (Microsoft Research blog): that year, an upper bound",
    ),
    (
        {"microsoft/Phi-3-mini-4k-instruct": 3_800 * _M, "microsoft/Phi-3-mini-128k-instruct": 3_800 * _M}
        | {"microsoft/Phi-3-medium-4k-instruct": 14 * _B, "microsoft/Phi-3-medium-128k-instruct": 14 * _B},
        "2023-10-31",
        "documented",
        "model cards of Phi-3: static model trained on an offline dataset with cutoff date October 2023",
    ),
    (
        {"microsoft/Phi-3.5-mini-instruct": 3_800 * _M},
        "2023-10-31",
        "documented",
        "model card of Phi-3.5-mini, released 20 August 2024: cutoff October 2023 for publicly available data",
    ),
    (
        {"microsoft/phi-4": 14 * _B},
        "2024-06-30",
        "documented",
        "model card of phi-4, released 12 December 2024: cutoff June 2024 and earlier for publicly available data",
    ),
    (
        {
            "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T": 1_100 * _M,
            "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100 * _M,
        },
        "2024-01-31",
        "release",
        "SlimPajama and StarCoder data (Zhang et al. 2024, arXiv 2401.02385): month of the paper, an upper bound",
    ),
    (
        {
            f"HuggingFaceTB/SmolLM2-{size}{tuned}": count
            for size, count in (("135M", 135 * _M), ("360M", 360 * _M), ("1.7B", 1_700 * _M))
            for tuned in ("", "-Instruct")
        },
        "2025-02-28",
        "release",
        "FineWeb-Edu, DCLM and The Stack without a common date: month of the paper (arXiv 2502.02737), an upper bound",
    ),
    (
        {"allenai/OLMo-2-1124-7B": 7 * _B, "allenai/OLMo-2-1124-13B": 13 * _B},
        "2023-12-31",
        "documented",
        "model cards of OLMo 2 (arXiv 2501.00656): date cutoff December 2023",
    ),
    (
        {"allenai/OLMo-2-1124-7B-Instruct": 7 * _B, "allenai/OLMo-2-1124-13B-Instruct": 13 * _B},
        "2025-01-31",
        "release",
        f"OLMo 2, post-trained anew by 3 January 2025 (model card): {_TUNED}",
    ),
)


def _chronological() -> Iterator[tuple[str, KnownBase]]:
    # One vintage per year, each trained only on text of that year and before.
    said = "only text available by the day in its name (model card; He et al. 2025, arXiv 2502.21206)"
    for year in range(1999, 2025):
        last = f"{year}-12-31"
        yield f"manelalab/chrono-bert-v1-{year}1231", KnownBase("encoder", last, "documented", said)
        needs = f"{said}; its weights need code of their own and cannot be loaded here"
        yield f"manelalab/chrono-gpt-v1-{year}1231", KnownBase("decoder", last, "documented", needs)


KNOWN_BASES: Mapping[str, KnownBase] = MappingProxyType(
    _ENCODERS
    | {
        name: KnownBase("decoder", cutoff, evidence, source, parameters)
        for names, cutoff, evidence, source in _DECODERS
        for name, parameters in names.items()
    }
    | dict(_chronological())
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "all-MiniLM-L6-v2": MINILM,
        "finbert": "ProsusAI/finbert",
        "finbert-tone": "yiyanghkust/finbert-tone",
        "bert-base-uncased": "google-bert/bert-base-uncased",
        "bert-base-cased": "google-bert/bert-base-cased",
        "bert-large-uncased": "google-bert/bert-large-uncased",
        "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
        "roberta-base": "FacebookAI/roberta-base",
        "roberta-large": "FacebookAI/roberta-large",
        "gpt2": "openai-community/gpt2",
        "gpt2-medium": "openai-community/gpt2-medium",
        "gpt2-large": "openai-community/gpt2-large",
        "gpt2-xl": "openai-community/gpt2-xl",
        "meta-llama/Meta-Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
        "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Meta-Llama-3.1-70B": "meta-llama/Llama-3.1-70B",
        "meta-llama/Meta-Llama-3.1-70B-Instruct": "meta-llama/Llama-3.1-70B-Instruct",
    }
)
_BY_LOWER = {name.lower(): name for name in KNOWN_BASES} | {alias.lower(): name for alias, name in _ALIASES.items()}


def canonical_name(name: str) -> str:
    """Return the registered name that ``name`` stands for, whatever its case, or ``name`` itself if it is not known."""
    return _BY_LOWER.get(name.lower(), name)


def similar_names(name: str, *, at_least: float = SIMILAR) -> list[str]:
    """Return up to three registered names or aliases that resemble an unknown one, most similar first."""
    spelt = {known: known for known in (*KNOWN_BASES, *_ALIASES)}
    # Who leaves out the owner should still be told the full name.
    halves = {} if "/" in name else {known.rpartition("/")[2]: known for known in KNOWN_BASES}
    lowered = {spelling.lower(): known for spelling, known in (halves | spelt).items()}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=3, cutoff=at_least)
    return list(dict.fromkeys(lowered[spelling] for spelling in close))


def mistyped(name: str) -> list[str]:
    """Return the registered names for which an unknown one is probably a slip of the keyboard; mostly none.

    Names whose digits differ are other versions or sizes, not slips.
    """
    digits = re.findall(r"\d+", name)
    return [known for known in similar_names(name, at_least=MISTYPED) if re.findall(r"\d+", known) == digits]


def last_instant(day: str) -> pd.Timestamp:
    """Return the last microsecond of a day, UTC."""
    return (pd.Timestamp(day, tz="UTC") + pd.Timedelta(days=1) - pd.Timedelta(microseconds=1)).as_unit("us")


def known_bases() -> pd.DataFrame:
    """Return the registry as a table, in the order of kind and name.

    Returns
    -------
    DataFrame with ``name, kind, parameters (Int64, NA where not stated), cutoff (last instant, UTC), evidence, source,
    exposures`` (labelled sets, joined by commas).
    """
    rows = [
        (
            name,
            known.kind,
            known.parameters,
            last_instant(known.knowledge_cutoff),
            known.evidence,
            known.source,
            ", ".join(known.exposures),
        )
        for name, known in KNOWN_BASES.items()
    ]
    columns = ["name", "kind", "parameters", "cutoff", "evidence", "source", "exposures"]
    table = pd.DataFrame(rows, columns=columns).astype({"parameters": "Int64"})
    return table.sort_values(["kind", "name"], key=lambda part: part.str.lower(), ignore_index=True)
