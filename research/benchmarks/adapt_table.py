"""Put the studies of readers that the documents show, and what the truth says of them, into one page.

Run by ``python -m embargo.research.benchmarks.adapt_table --write docs/adapt.md PART.md ...``: each part is what
``embargo adapt --write`` or ``embargo.research.benchmarks.adapt_truth --write`` wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

HEAD = """# Every way to read, on one scale

What `embargo adapt` says of the usual readers. Each study has one split and one test set, and every reader is fitted as
a run fits it. Written by `python -m embargo.research.benchmarks.adapt_table`; seconds and costs are those of the
machine that carried the studies out, one core, with other work beside them.

- The demo, smaller than it ships: `embargo adapt demo.toml --set news.simulated.symbols=8 --set
  news.simulated.start=2015-01-01 --set news.simulated.end=2017-07-31 --set split.method=holdout --set
  split.first_test=2016-07-01 --set split.end=2017-07-01 --set split.train_span=14MS`, all of the usual readers, and two
  that need something from elsewhere: an endpoint, which is llama.cpp's server on the same machine with the decoder of
  the zero-shot reader, and given scores, which are the linear reader's own, written to a file before
  (`PYTHONPATH=tests python -m samples.adapt_study --write PART.md`).
- Financial PhraseBank, 50Agree (Malo et al. 2014), labels of a file alone, 15 % of it held out, all of the usual
  readers.

Kinds of processors round differently, and what is trained from scratch carries it on: on an Intel processor with AMX
the zero-shot reader of this very demo had 69 % right, on an AMD one, whose figures stand below, 80 %. What twenty
markets say of a reader, at the end, is worth more than a difference of this size on one.
"""


def document(parts: Sequence[str]) -> str:
    """Put a head before the parts.

    Examples
    --------
    >>> from embargo.research.benchmarks.adapt_table import document
    >>> document(["## Mine"]).splitlines()[0]
    '# Every way to read, on one scale'
    """
    return "\n\n".join([HEAD.strip(), *(part.strip() for part in parts)]) + "\n"


def main(given: Sequence[str] | None = None) -> None:
    """Read the parts and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="+", type=Path, metavar="PART.md")
    parser.add_argument("--write", type=Path, required=True)
    arguments = parser.parse_args(given)
    page = document([part.read_text(encoding="utf-8") for part in arguments.parts])
    arguments.write.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
