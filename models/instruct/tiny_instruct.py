"""The built-in decoder that can be asked: pretrained on an experiment's own early texts, then tuned to answer prompts.

The pretraining is that of the built-in decoder. The tuning is on prompts as readers are asked them, made of early texts
and of their labels known by the same cutoff, in every wording that comes with the product: alone, with labelled
examples and with earlier articles in front. The loss stands on the answers. Whatever it knows is known by the cutoff,
by construction; the same texts, labels, settings and seed give the same weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.fields import CLASSES
from embargo.models.bases.resolve import TINY_INSTRUCT, TOKENIZER_FILES, Base
from embargo.models.content import sample_fingerprint
from embargo.models.instruct.encoding import EncodedAnswers
from embargo.models.instruct.training import AnswerLoop
from embargo.models.loading.causal import load_causal
from embargo.models.loading.load import deterministic, device, load_tokenizer, quiet
from embargo.models.methods.settings import TuneSettings
from embargo.models.prompting.context import Context
from embargo.models.prompting.likeness import same_words
from embargo.models.prompting.room import cut, item_room
from embargo.models.prompting.settings import PromptSettings
from embargo.models.prompting.templates import load_template, template_names
from embargo.models.record import RECORD, samples_read, write_record
from embargo.models.samples import check_labels, in_content_order
from embargo.models.scorer import Progress
from embargo.models.scorers.kind import FitRequest
from embargo.models.tuning.corpus import made_of, read_corpus, refuse_late
from embargo.models.tuning.loop import Trained, run_passes
from embargo.models.tuning.tiny_lm import TinyLmSettings, drawn, pretrain_tiny_lm

# Texts that a pass asks about, and those held out that the best pass is chosen by, at most.
PASS, CHOOSING = 1024, 64


@dataclass(frozen=True)
class TinyInstructSettings:
    """Pretraining of the built-in decoder that can be asked, and how it is tuned to answer.

    Attributes
    ----------
    pretraining : TinyLmSettings
        Shape and pretraining, those of the built-in decoder.
    templates : tuple of str
        Wordings it is asked in, by the names of `load_template`.
    examples, retrieved : int
        Labelled examples (a multiple of 3) and earlier articles in front of a question, at most. Answers of examples
        are learnt too.
    questions : int
        Answers that are learnt in all passes together, about; a pass takes at most 1,024 of the texts.
    alone : float
        Share of the passes, the first, in which each text is asked about alone: what a text says is learnt before what
        may stand in front of it.
    batch_size, learning_rate, weight_decay
        Of the tuning; ``batch_size`` counts prompts.
    held_out : float
        Share of the labelled texts, drawn by their hash, by which the best pass is chosen.

    Examples
    --------
    >>> from embargo.models import TinyInstructSettings
    >>> TinyInstructSettings().templates
    ('brief', 'investor-view', 'news-sentiment')
    >>> TinyInstructSettings(examples=2)
    Traceback (most recent call last):
        ...
    embargo.data_loaders.errors.ConfigError: tiny-instruct: examples must be a multiple of 3 and retrieved not be \
negative, got 2 and 2.
    """

    pretraining: TinyLmSettings = field(default_factory=TinyLmSettings)
    templates: tuple[str, ...] = field(default_factory=template_names)
    examples: int = 3
    retrieved: int = 2
    questions: int = 6144
    alone: float = 0.6
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    held_out: float = 0.1

    def __post_init__(self) -> None:
        if self.examples < 0 or self.examples % len(CLASSES) or self.retrieved < 0:
            raise ConfigError(
                f"tiny-instruct: examples must be a multiple of {len(CLASSES)} and retrieved not be negative, got "
                f"{self.examples} and {self.retrieved}."
            )
        if not self.templates or min(self.questions, self.batch_size) < 1:
            raise ConfigError(f"tiny-instruct: nothing to learn from: {self}. Name a template, keep questions >= 1.")
        if not 0 <= self.alone <= 1:
            raise ConfigError(f"tiny-instruct: alone must lie in [0, 1], got {self.alone}.")
        if not 0 < self.held_out < 1 or not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                f"tiny-instruct: held_out must lie in (0, 1), learning_rate be positive and weight_decay not be "
                f"negative, got {self}."
            )


def pretrain_tiny_instruct(
    texts: Sequence[str],
    *,
    known_at: pd.Series | Sequence[pd.Timestamp],
    labelled: pd.DataFrame,
    knowledge_cutoff: pd.Timestamp,
    settings: TinyInstructSettings | None = None,
    seed: int = 0,
    cache_dir: Path,
    progress: Progress | None = None,
) -> Base:
    """Pretrain the built-in decoder and tune it to answer, or load it where the same one was made before.

    Parameters
    ----------
    texts : sequence of str, length n
        The corpus, as `pretrain_tiny_lm` takes it.
    known_at : sequence of UTC instants, length n
        When each text was known.
    labelled : DataFrame
        Samples ``text, label`` (0 bearish, 1 neutral, 2 bullish) and ``known_at``, and where there ``ends_at``, when
        each label was complete, UTC. Their order does not matter. One that was known or complete after the cutoff is
        an error, not a row to leave out.
    knowledge_cutoff : Timestamp
        Becomes the base's cutoff.
    settings : TinyInstructSettings, optional
    seed : int
        Of the weights, and of what stands in which prompt.
    cache_dir : Path
        Bases are kept in ``cache_dir / "bases"``, the pretrained one too.
    progress : callable, optional
        Called with (steps done, steps in all), first of the pretraining and then of the tuning.

    Returns
    -------
    Base named ``"tiny-instruct"``, of kind ``"decoder"``. Its manifest tells of the tuning ``n_labelled``,
    ``n_validation``, ``epochs`` (losses of each pass, in nats per token of an answer) and ``best_epoch``.

    Raises
    ------
    LeakError
        If a text or a label was known only after the cutoff.
    DataError
        If there are no texts, labels of a single class, none to validate on, or training diverges.
    ConfigError, MissingPartError
        If a template is not there, or leaves no room for articles.

    References
    ----------
    Ouyang et al. (2022), "Training language models to follow instructions with human feedback", arXiv 2203.02155;
    Min, Lewis, Zettlemoyer and Hajishirzi (2022), "MetaICL: Learning to Learn In Context", arXiv 2110.15943 (prompts
    with examples in tuning).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from embargo.models import TinyInstructSettings, TinyLmSettings, pretrain_tiny_instruct
    >>> until = pd.Timestamp("2016-01-01", tz="UTC")
    >>> texts = [f"{what} {verb}." for what in ("Profit", "Sales", "Cash") for verb in ("fell", "held", "rose")]
    >>> labelled = pd.DataFrame({"text": texts, "label": [0, 1, 2] * 3, "known_at": until})
    >>> small = TinyLmSettings(layers=1, hidden=64, intermediate=64, vocabulary=280, epochs=1)
    >>> settings = TinyInstructSettings(small, templates=("brief",), questions=8, held_out=0.3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     base = pretrain_tiny_instruct(
    ...         texts, known_at=[until] * 9, labelled=labelled, knowledge_cutoff=until, settings=settings,
    ...         cache_dir=Path(folder)
    ...     )
    >>> base.name, base.kind
    ('tiny-instruct', 'decoder')
    """
    settings = TinyInstructSettings() if settings is None else settings
    corpus = read_corpus(texts, known_at, knowledge_cutoff, name=TINY_INSTRUCT)
    answered = _answered(labelled, knowledge_cutoff)
    parts = tuple([each for each in answered if (drawn(each[0]) < settings.held_out) == held] for held in (False, True))
    if not all(parts):
        raise DataError(
            f"base {TINY_INSTRUCT!r}: of {len(answered)} labelled texts {len(parts[1])} are held out to choose the "
            "best pass by, and both parts need some. Give more labels, or change held_out."
        )
    lm = pretrain_tiny_lm(
        texts,
        known_at=known_at,
        knowledge_cutoff=knowledge_cutoff,
        settings=settings.pretraining,
        seed=seed,
        cache_dir=cache_dir,
        progress=progress,
    )

    def build(folder: Path) -> dict[str, Any]:
        tokenizer = load_tokenizer(lm)
        asking = _Asking(tokenizer, settings, corpus)
        with deterministic(seed):
            model, done = _tuned(lm, asking, parts, settings, seed, folder, progress)
        record = [samples_read("base", *zip(*part, strict=True)) for part in parts]
        write_record(folder, chain(*record))
        with quiet():
            model.save_pretrained(str(folder), safe_serialization=True)
        for name in set(TOKENIZER_FILES) - {"config.json"}:
            if (Path(lm.path_or_id) / name).is_file():
                shutil.copyfile(Path(lm.path_or_id) / name, folder / name)
        return {
            "pretrained": lm.weights_hash,
            "n_labelled": len(parts[0]),
            "n_validation": len(parts[1]),
            "epochs": done.epochs,
            "best_epoch": done.best_epoch,
            "events": done.events,
        }

    base = made_of(
        corpus,
        {
            **asdict(settings),
            "record": RECORD,
            "templates": [load_template(name).hash for name in settings.templates],
            "labels": sample_fingerprint([text for text, _ in answered], [label for _, label in answered]),
        },
        seed,
        build,
        name=TINY_INSTRUCT,
        knowledge_cutoff=knowledge_cutoff,
        cache_dir=cache_dir,
    )
    told = f"pretrained here on {len(corpus)} texts and tuned to answer on {len(answered)} labels"
    return replace(base, source=f"{told}, all known by {knowledge_cutoff.isoformat()}")


def _answered(labelled: pd.DataFrame, knowledge_cutoff: pd.Timestamp) -> list[tuple[str, int]]:
    """Return distinct texts with their labels, in an order that follows from their content."""
    missing = [name for name in ("text", "label", "known_at") if name not in labelled.columns]
    if missing:
        raise DataError(f"base {TINY_INSTRUCT!r}: the labelled texts lack {missing}; they have {list(labelled)}.")
    texts = labelled["text"].tolist()
    labels = check_labels(texts, labelled["label"].tolist(), what=f"base {TINY_INSTRUCT!r}, labelled texts", distinct=2)
    for column in ("known_at", "ends_at"):
        if column in labelled.columns:
            refuse_late(
                texts, labelled[column], knowledge_cutoff, name=TINY_INSTRUCT, column=column, what="labels of texts"
            )
    ordered, of = in_content_order(texts, labels)
    pairs = dict.fromkeys((text, int(label)) for text, label in zip(ordered, of, strict=True) if text.strip())
    return list(pairs)


class _Asking:
    """Prompts with their answers, as tokens, in one wording or another.

    What stands in a prompt is set apart by signs over which no token reaches, so that pieces are tokenized once and
    put together.
    """

    def __init__(self, tokenizer: Any, settings: TinyInstructSettings, corpus: Sequence[str]) -> None:
        self._tokenizer, self._settings, self._corpus = tokenizer, settings, corpus
        nothing = FitRequest([], [], [], [], None, None, Path())
        self._contexts = [
            Context.build(PromptSettings(template=name), nothing, tokenizer) for name in settings.templates
        ]
        self._room = [self._room_of(context) for context in self._contexts]
        self._known: dict[Any, list[int]] = {}

    def _room_of(self, context: Context) -> int:
        """Return the tokens that any article may have where a prompt is as full as it gets."""
        shown = replace(
            context.settings,
            examples=self._settings.examples,
            retrieve="bm25" if self._settings.retrieved else "none",
            retrieved=max(1, self._settings.retrieved),
        )
        most = item_room(shown, context.template, context.limit, context.count)
        # Alone, an article has all that the instruction leaves.
        return most or context.limit - context.count(context.shared + context.template.question("")) - 8

    def prompts(self, answered: Sequence[tuple[str, int]], rng: np.random.Generator, *, alone: bool) -> EncodedAnswers:
        """Ask about every text once: the last of a prompt is the question, those before it are its examples.

        Parameters
        ----------
        answered : sequence of (str, int)
            Texts and labels.
        rng : Generator
            Of the order, the wordings and the earlier articles.
        alone : bool
            Each in a prompt of its own, with nothing else in it.
        """
        order, at = rng.permutation(len(answered)).tolist(), 0
        tokens: list[list[int]] = []
        starts, counts, before = [], [], []
        while at < len(order):
            # As many prompts without an example as with the most.
            size = 1 if alone else 1 + len(tokens) % (self._settings.examples + 1)
            earlier = 0 if alone or rng.random() < 0.5 else int(rng.integers(self._settings.retrieved + 1))
            ids, spans = self._prompt([answered[row] for row in order[at : at + size]], earlier, rng)
            at += size
            tokens.append(ids)
            starts.append(spans[-1][0])
            counts.append(sum(end - start for start, end in spans))
            before.append(tuple(spans[:-1]))
        # A token counts the same in every answer: by the mean of each, classes with long names would be given less.
        weights = np.array(counts, dtype=float) / np.mean(counts)
        return EncodedAnswers(tokens, np.array(starts, dtype=np.int64), weights, before)

    def _prompt(
        self, asked: Sequence[tuple[str, int]], number: int, rng: np.random.Generator
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return a prompt with its answers as tokens, and where the answers stand."""
        wording = int(rng.integers(len(self._contexts)))
        context = self._contexts[wording]
        template, gap = context.template, context.template.separator
        # Earlier articles stand in front of the examples, or behind them.
        place = int(rng.choice([0, len(asked) - 1]))
        drawn_at = rng.integers(len(self._corpus), size=number)
        own = {same_words(text) for text, _ in asked}
        earlier = [text for text in (self._corpus[row] for row in drawn_at) if same_words(text) not in own]
        ids = [int(self._tokenizer.bos_token_id), *self._ids(template.instruction)]
        spans = []
        for turn, (text, label) in enumerate(asked):
            for each in earlier if turn == place else ():
                ids += self._ids(gap + template.earlier(self._cut(wording, each)))
            ids += self._ids(gap + template.question(self._cut(wording, text)))
            start = len(ids)
            ids += self._ids(context.labels[label])
            spans.append((start, len(ids)))
        spans[-1] = (spans[-1][0], len(ids) + 1)
        return [*ids, int(self._tokenizer.eos_token_id)], spans

    def _cut(self, wording: int, text: str) -> str:
        context = self._contexts[wording]
        return cut(context.template.plain(text, context.specials), self._room[wording], context.count)

    def _ids(self, piece: str) -> list[int]:
        if piece not in self._known:
            self._known[piece] = list(
                self._tokenizer(piece, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            )
        return self._known[piece]


class _AskingLoop(AnswerLoop):
    """The loop of answers, in which every pass words and mixes the same texts anew."""

    def __init__(self, *given: Any, anew: Any) -> None:
        super().__init__(*given)
        self._anew = anew

    def one_pass(self, progress: Any) -> None:
        self.parts = (self._anew(self.state.epoch), self.parts[1])
        super().one_pass(progress)


def _tuned(
    lm: Base,
    asking: _Asking,
    parts: tuple[list[tuple[str, int]], ...],
    settings: TinyInstructSettings,
    seed: int,
    folder: Path,
    progress: Progress | None,
) -> tuple[Any, Trained]:
    learnt, held = parts
    most = min(len(learnt), PASS)
    passes = max(1, round(settings.questions / most))
    alone = round(settings.alone * passes)

    def anew(number: int) -> EncodedAnswers:
        rng = np.random.default_rng([seed, number])
        rows = rng.permutation(len(learnt))[:most]
        return asking.prompts([learnt[row] for row in rows], rng, alone=number < alone)

    both = [
        asking.prompts(held[:CHOOSING], np.random.default_rng([seed, passes]), alone=each) for each in (True, False)
    ]
    validation = EncodedAnswers(
        [ids for each in both for ids in each.tokens],
        np.concatenate([each.starts for each in both]),
        np.concatenate([each.weights for each in both]),
        [spans for each in both for spans in each.before or ()],
    )
    tuning = TuneSettings(
        method="full",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        epochs=passes,
        patience=passes,
        batch_size=settings.batch_size,
        warmup=0.1,
        compute="fp32",
        seed=seed,
    )
    model = load_causal(lm, method="full", compute="fp32").to(device())
    model.requires_grad_(True)
    pad_id = int(load_tokenizer(lm).pad_token_id)
    loop = _AskingLoop(model, (anew(0), validation), tuning, pad_id, "fp32", anew=anew)
    loop.steps = sum(-(-len(anew(number)) // tuning.batch_size) for number in range(passes))
    checkpoint = folder / ".tuning.safetensors"
    done = run_passes(loop, checkpoint, progress)
    checkpoint.unlink(missing_ok=True)
    return model.eval(), done
