"""The journal of what was asked of endpoints: which server answered, what became of each text, and what was spent.

It is one SQLite file beside the scores. A request is charged with the most that it can cost before it is sent and with
its true cost once that is known, so that neither a kill, a restart nor a second process lets a budget be passed. No
text, no answer and no key is in it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from embargo.data_loaders.errors import DataError, EmbargoError

JOURNAL = Path("endpoints") / "journal.sqlite"
BUSY_TIMEOUT_S = 60.0
_CHUNK = 500

# What became of a text: answered, or why not.
AnswerOutcome = Literal["answered", "refused", "filtered", "empty", "unreadable"]
UNANSWERED: tuple[AnswerOutcome, ...] = ("refused", "filtered", "empty", "unreadable")

_TABLES = """
CREATE TABLE IF NOT EXISTS servers (asked TEXT PRIMARY KEY, found TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS purses (purse TEXT PRIMARY KEY, requests INTEGER NOT NULL, cost REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (number INTEGER PRIMARY KEY, purse TEXT NOT NULL, asked TEXT NOT NULL,
    text_hash TEXT NOT NULL, state TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL, counted INTEGER NOT NULL, fingerprint TEXT);
CREATE INDEX IF NOT EXISTS requests_of_text ON requests (asked, text_hash);
CREATE TABLE IF NOT EXISTS answers (asked TEXT NOT NULL, text_hash TEXT NOT NULL, turn INTEGER NOT NULL,
    outcome TEXT NOT NULL, mass REAL, logits TEXT, wall REAL NOT NULL, cpu REAL NOT NULL,
    PRIMARY KEY (asked, text_hash, turn)) WITHOUT ROWID;
"""


class BudgetError(EmbargoError):
    """The next request could pass what may be spent, so it was not sent.

    Examples
    --------
    >>> from embargo.models.endpoints import BudgetError
    >>> str(BudgetError("max_requests = 40: 40 were sent"))
    'max_requests = 40: 40 were sent'
    """


@dataclass(frozen=True)
class Spent:
    """Requests and their cost, those in flight at the most that they can cost.

    Examples
    --------
    >>> from embargo.models.endpoints.journal import Spent
    >>> Spent(requests=12, cost=0.03).requests
    12
    """

    requests: int
    cost: float


@dataclass(frozen=True)
class Read:
    """What became of a text: its logits before calibration, and what it took.

    Attributes
    ----------
    outcome : {"answered", "refused", "filtered", "empty", "unreadable"}
    logits : ndarray of shape (3,) or None
        None where it was not answered.
    mass : float or None
        Probability of the listed label words together, where log-probabilities were given; of drawn answers the share
        that named the commonest class.
    wall, cpu : float
        Seconds between asking and answer, and of this process's work on it.
    """

    outcome: AnswerOutcome
    logits: np.ndarray | None
    mass: float | None = None
    wall: float = 0.0
    cpu: float = 0.0


class Journal:
    """What was asked, in one file that several processes may write.

    Parameters
    ----------
    path : Path
        Made on demand.

    Raises
    ------
    DataError
        If the file is damaged, or cannot be used now.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from embargo.models.endpoints import Journal
    >>> with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.sqlite") as journal:
    ...     number = journal.charge("my purse", "asked", "a text", tokens=(100, 4), cost=0.5, max_cost=1.0)
    ...     journal.settle(number, "done", tokens=(20, 1), cost=0.1)
    ...     print(journal.spent("my purse"))
    Spent(requests=1, cost=0.1)
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_TABLES)

    def found(self, asked: str) -> dict[str, Any] | None:
        """Return what was learnt of the server that answers, None where nobody has asked it."""
        with self._told():
            rows = self._connection.execute("SELECT found FROM servers WHERE asked = ?", [asked]).fetchall()
        return json.loads(rows[0][0]) if rows else None

    def keep_found(self, asked: str, found: Mapping[str, Any]) -> dict[str, Any]:
        """Write down what was learnt of the server, and return it; what was there before stays."""
        with self._told():
            self._connection.execute("INSERT OR IGNORE INTO servers VALUES (?, ?)", [asked, json.dumps(dict(found))])
        kept = self.found(asked)
        assert kept is not None
        return kept

    def spent(self, purse: str) -> Spent:
        """Return what a purse was charged with so far."""
        with self._told():
            rows = self._connection.execute("SELECT requests, cost FROM purses WHERE purse = ?", [purse]).fetchall()
        # Of many small sums the last digits are noise.
        return Spent(rows[0][0], round(rows[0][1], 12)) if rows else Spent(0, 0.0)

    def charge(
        self,
        purse: str,
        asked: str,
        text_hash: str,
        *,
        tokens: tuple[int, int],
        cost: float,
        max_requests: int | None = None,
        max_cost: float | None = None,
    ) -> int:
        """Charge one request, before it is sent, with the most that it can cost, and return its number.

        Raises
        ------
        BudgetError
            If a budget could be passed; nothing is charged then.
        """
        with self._told(), self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO purses VALUES (?, 0, 0.0)", [purse])
            spent = self.spent(purse)
            if max_requests is not None and spent.requests + 1 > max_requests:
                raise BudgetError(f"max_requests = {max_requests:,}: {spent.requests:,} were made")
            if max_cost is not None and spent.cost + cost > max_cost:
                raise BudgetError(
                    f"max_cost = {max_cost:g}: {spent.cost:.6g} is spent, and the next request may cost {cost:.3g}"
                )
            self._connection.execute(
                "UPDATE purses SET requests = requests + 1, cost = cost + ? WHERE purse = ?", [cost, purse]
            )
            row = [purse, asked, text_hash, *tokens, cost]
            number = self._connection.execute(
                "INSERT INTO requests (purse, asked, text_hash, state, prompt_tokens, completion_tokens, cost, "
                "counted) VALUES (?, ?, ?, 'open', ?, ?, ?, 0)",
                row,
            ).lastrowid
        assert number is not None
        return number

    def settle(
        self,
        number: int,
        state: Literal["done", "failed", "lost"],
        *,
        tokens: tuple[int, int] | None,
        cost: float | None,
        fingerprint: str | None = None,
    ) -> None:
        """Write down what a request really took; what nobody counted stays at the most that it can have been."""
        with self._told(), self._transaction():
            rows = self._connection.execute("SELECT purse, cost FROM requests WHERE number = ?", [number]).fetchall()
            (purse, before) = rows[0]
            self._connection.execute(
                "UPDATE requests SET state = ?, fingerprint = ? WHERE number = ?", [state, fingerprint, number]
            )
            if tokens is not None and cost is not None:
                self._connection.execute(
                    "UPDATE requests SET prompt_tokens = ?, completion_tokens = ?, cost = ?, counted = 1 "
                    "WHERE number = ?",
                    [*tokens, cost, number],
                )
                self._connection.execute("UPDATE purses SET cost = cost + ? WHERE purse = ?", [cost - before, purse])

    def keep(self, asked: str, text_hash: str, read: Read, *, turn: int = 0) -> None:
        """Write down what became of a text; ``turn`` tells one asking from the next."""
        logits = None if read.logits is None else _sealed(asked, text_hash, read.logits)
        with self._told():
            self._connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [asked, text_hash, turn, read.outcome, read.mass, logits, read.wall, read.cpu],
            )

    def kept(self, asked: str, text_hashes: Sequence[str], *, turn: int = 0) -> dict[str, Read]:
        """Return what became of those texts that were asked of, by text hash."""
        rows = self._of(
            "SELECT text_hash, outcome, logits, mass, wall, cpu FROM answers "
            "WHERE asked = ? AND turn = ? AND text_hash IN ({})",
            [asked, turn],
            text_hashes,
        )
        return {
            name: Read(outcome, None if sealed is None else self._unsealed(asked, name, sealed), mass, wall, cpu)
            for name, outcome, sealed, mass, wall, cpu in rows
        }

    def account(self, asked: str, text_hashes: Sequence[str]) -> dict[str, Any]:
        """Add up what was asked about some texts and what it took.

        Returns
        -------
        dict, JSON-able
            ``texts, answered, refused, filtered, empty, unreadable``; ``requests`` and of them ``failed``;
            ``prompt_tokens, completion_tokens, cost`` and how many requests are in them at ``upper_bounds``, for want
            of a count; ``label_mass`` (median probability of the label words together, None without
            log-probabilities); ``unanimous`` (texts all of whose draws named one class, None where none were drawn);
            ``wall_seconds``, summed over requests side by side, and ``cpu_seconds``;
            ``fingerprints``: answers by the fingerprint of the server.
        """
        requests = self._of(
            "SELECT state, prompt_tokens, completion_tokens, cost, counted, fingerprint FROM requests "
            "WHERE asked = ? AND text_hash IN ({})",
            [asked],
            text_hashes,
        )
        reads = [each for turn in (0, 1) for each in self.kept(asked, text_hashes, turn=turn).values()]
        outcomes = Counter(each.outcome for each in reads)
        masses = [each.mass for each in reads if each.mass is not None]
        manner = (self.found(asked) or {}).get("manner", {})
        drawn = manner.get("form") not in (None, "logprobs")
        prints = Counter(row[5] or "none" for row in requests if row[0] == "done")
        return {
            "texts": len(reads),
            "answered": outcomes["answered"],
            **{name: outcomes[name] for name in UNANSWERED},
            "requests": len(requests),
            "failed": sum(row[0] != "done" for row in requests),
            "prompt_tokens": sum(row[1] for row in requests),
            "completion_tokens": sum(row[2] for row in requests),
            "cost": round(sum(row[3] for row in requests), 9),
            "upper_bounds": sum(not row[4] for row in requests),
            "label_mass": round(float(np.median(masses)), 6) if masses and not drawn else None,
            "unanimous": sum(mass == 1.0 for mass in masses) if drawn else None,
            "wall_seconds": round(sum(each.wall for each in reads), 3),
            "cpu_seconds": round(sum(each.cpu for each in reads), 3),
            "fingerprints": dict(sorted(prints.items())),
        }

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unsealed(self, asked: str, text_hash: str, sealed: str) -> np.ndarray:
        try:
            logits = np.array(json.loads(sealed.partition(" ")[2]), dtype=float)
        except ValueError:
            logits = np.zeros(0)
        if sealed != _sealed(asked, text_hash, logits):
            raise self._unusable(f"the answer to text {text_hash} does not match its checksum, so bytes have changed")
        return logits

    def _unusable(self, failure: object) -> DataError:
        return DataError(
            f"journal of endpoints {self.path}: unusable ({failure}). What was spent is in it: keep a copy, delete it, "
            "and lower the budgets by what your provider's account says."
        )

    def _of(self, query: str, given: Sequence[object], text_hashes: Sequence[str]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        distinct = sorted(set(text_hashes))
        with self._told():
            for start in range(0, len(distinct), _CHUNK):
                chunk = distinct[start : start + _CHUNK]
                marked = query.format(",".join("?" * len(chunk)))
                rows += self._connection.execute(marked, [*given, *chunk]).fetchall()
        return rows

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as failure:
            raise DataError(
                f"journal of endpoints {self.path}: cannot be used now ({failure}). Make room or let the other process "
                "finish, and repeat the command."
            ) from failure
        except sqlite3.DatabaseError as failure:
            raise self._unusable(failure) from failure


def _sealed(asked: str, text_hash: str, logits: np.ndarray) -> str:
    """Write logits with a CRC-32 over them and what they answer, which tells every change within four bytes."""
    numbers = json.dumps([float(value) for value in logits])
    return f"{zlib.crc32(f'{asked} {text_hash} {numbers}'.encode()):08x} {numbers}"
