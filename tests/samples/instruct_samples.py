"""Dated articles with a headline, figures and names, and a small decoder that reads them with a vocabulary of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers

from embargo.models.bases.resolve import Base, open_base
from embargo.models.instruct import load_templates

COMPANIES = ("Alder", "Borcor", "Centek", "Dynvia", "Elysys", "Forera")
OFFICERS = ("Ann Lee", "Bo Kane", "Cy Moss", "Di Voss")
THINGS = ("sales", "orders", "margins", "bookings")
PERIODS = ("the first quarter", "the second quarter", "the third quarter", "the fourth quarter")
TONES = {"fell": "bearish", "rose": "bullish"}
START = pd.Timestamp("2015-01-01", tz="UTC")
TRAIN_UNTIL = pd.Timestamp("2015-09-01", tz="UTC")
VALIDATION_UNTIL = pd.Timestamp("2015-10-15", tz="UTC")


def articles(n: int, seed: int) -> pd.DataFrame:
    """Return n articles, one a day or so, whose figures and names are drawn at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        company, officer = rng.choice(COMPANIES), rng.choice(OFFICERS)
        thing, period, verb = rng.choice(THINGS), rng.choice(PERIODS), rng.choice(list(TONES))
        percent, money = int(rng.integers(1, 60)), int(rng.integers(1, 99))
        headline = f"{company} {thing} {verb} {percent} %"
        body = (
            f"{company} said {thing} {verb} by {percent} % in {period} . "
            f"CFO {officer} put them at EUR {money} million ."
        )
        rows.append(
            {
                "article_id": f"a{number:04d}",
                "known_at": START + pd.Timedelta(days=365 * number / n),
                "text": f"{headline}\n{body}",
                "headline": headline,
                "label": TONES[str(verb)],
            }
        )
    return pd.DataFrame(rows).astype({"known_at": "datetime64[us, UTC]"})


def small_decoder(folder: Path, *, seed: int = 0, width: int = 64) -> Base:
    """Write a Llama of random weights and a tokenizer of words and figures, and open it as a base."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    corpus = [text for text in articles(200, seed=99)["text"]]
    templates = load_templates()
    for wordings in templates.wordings.values():
        corpus += [one.before + one.after for one in wordings]
    corpus += [one.before + one.after for one in templates.held_out.values()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=256
    )
    config = transformers.LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return open_base(folder, name="small llama", knowledge_cutoff=pd.Timestamp("2014-12-31", tz="UTC"))
