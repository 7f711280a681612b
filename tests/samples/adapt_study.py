"""The demo's study with every kind of reader, for the documents: the usual ones, an endpoint, and scores made before.

Run by ``PYTHONPATH=tests python -m samples.adapt_study --write PART.md``. The endpoint is llama.cpp's server on
127.0.0.1 with the built-in decoder that was tuned to answer; the scores are the linear reader's, written to a file.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from servers.llama import llama_server

from embargo.models.bundles.bundle import ModelReader
from embargo.models.scorers.cache import ScoreCache
from embargo.research.config.adapt import AdaptConfig, load_adapt
from embargo.research.config.model import EndpointSection, ModelSection, ScoresSection
from embargo.research.examples.shipped import example
from embargo.research.modelling.scoring import score_news
from embargo.research.progress import Quiet
from embargo.research.run.preparation import prepare
from embargo.research.run.reading import fit_fold, with_base
from embargo.research.studies.adapt import adapt, markdown

SMALLER = (
    "news.simulated.symbols=8",
    "news.simulated.start=2015-01-01",
    "news.simulated.end=2017-07-31",
    "split.method=holdout",
    "split.first_test=2016-07-01",
    "split.end=2017-07-01",
    "split.train_span=14MS",
)


def answering(study: AdaptConfig, folder: Path) -> tuple[object, ModelSection]:
    """Put the decoder of the zero-shot reader behind an address; return the server and a reader that asks it."""
    asked = study.readers["zero-shot"]
    plan = prepare(study.config_of("zero-shot"), Quiet())
    base = with_base(plan, plan.parts[0].fold.train_end, folder, Quiet()).base
    server = llama_server(base, folder, name="tiny-instruct", n_parallel=1)
    endpoint = EndpointSection(url=f"{server.listening_address}/v1", model="tiny-instruct", api="completions")
    return server, ModelSection(
        kind="endpoint", endpoint=endpoint, prompt=asked.prompt, knowledge_cutoff=base.knowledge_cutoff
    )


def given(study: AdaptConfig, folder: Path) -> ModelSection:
    """Write the probabilities of the linear reader, and return a reader of the file."""
    plan = prepare(study.config_of("linear"), Quiet())
    with ScoreCache(folder / "scores") as store:
        model = fit_fold(plan, plan.parts[0], None, folder, store, lambda done, total: None)
        knows = pd.Timestamp(model.manifest["knowledge_cutoff"])
        reader = ModelReader("own", model.scorer, model.calibration, knows, frozenset(), None, (), None, None)
        score_news(reader, [plan.world.news], folder / "scores.parquet", cache=store)
    return ModelSection(
        kind="scores", scores=ScoresSection(path=str(folder / "scores.parquet"), knowledge_cutoff=knows)
    )


def main() -> None:
    """Carry the study out and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, required=True, metavar="PART.md")
    arguments = parser.parse_args()
    with TemporaryDirectory() as name, example("demo") as path:
        folder = Path(name)
        study = load_adapt(path, list(SMALLER))
        server, endpoint = answering(study, folder)
        study = replace(study, readers={**study.readers, "endpoint": endpoint, "given": given(study, folder)})
        found = adapt(study, out=folder / "runs", cache=folder / "cache", stages=Quiet())
        del server
    arguments.write.write_text(markdown(found, title=f"Readers of {study.experiment.name}"), encoding="utf-8")


if __name__ == "__main__":
    main()
