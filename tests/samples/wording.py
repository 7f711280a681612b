"""What no page may say, and how a test finds a p-value that does not name its sides.

Text is taken apart where a reader would: cells, headings and sentences. ``research/pages/phrases.py`` holds what may be
said instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

# (what, why)
BANNED: tuple[tuple[str, str], ...] = (
    (r"nothing (?:was|is|were|has been) (?:found|shown)", "what was not shown may still be there"),
    (r"no evidence of", "what was not shown may still be there"),
    (r"\badds? nothing\b", "what was not shown may still be there"),
    (r"nothing measurable", "what was not shown may still be there"),
    (r"\bprobab\w+ (?:of|that) skill", "1 - p is no probability of skill"),
    (r"how sure it is", "1 - p is no probability"),
    (r"probability (?:above|of more than|of over) \d+ ?% of a positive", "1 - p is no probability"),
    (
        r"(?<!posterior )probability (?:that (?:the|its) true|of being (?:truly )?better|of a positive sharpe)",
        "only a posterior is a probability of the truth",
    ),
    (r"probability of overfitting", "a share of splits that share their bars is no probability"),
    (r"chance (?:explains|made) (?:this|the) result", "a test that does not reject does not show that chance did it"),
)

_SIDED = re.compile(r"\b(?:one|two)-sided\b")
_HEAD = re.compile(r"(?:^|[\s(])p(?:$|[\s,(])|\bp-value\b")
_PRINTED = re.compile(r"(?<![\w-])p(?:-value)?[\s,:=<≤]*(?:0?\.\d|[01]\.\d{2,}|none\b)")
_SENTENCES = re.compile(r"(?<=[.;!?])\s+(?=[A-Z“])")
_CELLS = {"th", "td", "dt", "summary", "h1", "h2", "h3", "button"}
_TEXTS = {"p", "li", "dd", "figcaption", "caption", "div", "span", "footer"}


def banned_in(text: str) -> list[str]:
    """Find what must not be said; line ends and spaces count alike."""
    flat = re.sub(r"\s+", " ", text)
    return [f"{found[0]!r} ({why})" for what, why in BANNED for found in re.finditer(what, flat, flags=re.IGNORECASE)]


def unsided_cell(text: str) -> bool:
    """Whether a heading or cell speaks of a p-value without its sides."""
    return bool(_HEAD.search(text)) and not _SIDED.search(text)


def unsided_sentences(text: str) -> list[str]:
    """Sentences that print a p-value without its sides."""
    flat = re.sub(r"\s+", " ", text.replace("\u00a0", " "))
    return [one for one in _SENTENCES.split(flat) if _PRINTED.search(one) and not _SIDED.search(one)]


def unsided_in_page(page: str) -> list[str]:
    """Everything in a page that speaks of a p-value without its sides: heads, cells, sentences, labels and charts."""
    reader = _Page()
    reader.feed(page)
    found = [cell for cell in reader.cells if unsided_cell(cell)]
    return found + [one for text in (*reader.texts, *reader.cells) for one in unsided_sentences(text)]


def words_of_page(page: str) -> str:
    """All that a reader of a page can see or hear, one piece a line; no script, no style."""
    reader = _Page()
    reader.feed(page)
    return "\n".join((*reader.cells, *reader.texts))


def unsided_in_terminal(output: str) -> list[str]:
    """Everything on a terminal that speaks of a p-value without its sides; heads may be folded."""
    cells, heads, paragraph = [], [], []
    for line in [*output.splitlines(), ""]:
        if "┃" in line:
            heads.append([cell.strip() for cell in line.split("┃")])
            continue
        cells += [" ".join(parts).strip() for parts in zip(*heads, strict=True)]
        heads = []
        if "│" in line:
            cells += [cell.strip() for cell in line.split("│")]
        else:
            paragraph.append(line)
    return [cell for cell in cells if unsided_cell(cell)] + unsided_sentences(" ".join(paragraph))


def texts_of(value: object) -> Iterator[str]:
    """Yield every text inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            # Packed numbers are letters too.
            if key not in ("bdata", "template"):
                yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


class _Page(HTMLParser):
    """Takes a page apart into cells, which stand alone, and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.texts: list[str] = []
        self._open: list[tuple[str, list[str]]] = []
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "style"):
            self._script = named.get("type") or tag
            return
        self.texts += [value for name in ("aria-label", "title", "alt") if (value := named.get(name))]
        if tag in _CELLS | _TEXTS:
            self._open.append((tag, []))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._script = None
        elif self._open and self._open[-1][0] == tag:
            _, pieces = self._open.pop()
            text = " ".join("".join(pieces).split())
            (self.cells if tag in _CELLS else self.texts).append(text)
            if self._open:
                self._open[-1][1].append(f" {text} ")

    def handle_data(self, data: str) -> None:
        if self._script == "application/json":
            self.texts += texts_of(json.loads(data))
        elif self._script is None and self._open:
            self._open[-1][1].append(data)
