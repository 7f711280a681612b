"""Carry one world, clean or planted, through everything that the product has against leaks, as a user would.

First the door and the data checks, then the audit of the run, then the deep audit, then the probes of the reader. A
planted world stops at the first that names its leak; a clean one hears them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from embargo.backtest.leakage import CHECKS, Finding
from embargo.data_loaders.errors import EmbargoError
from embargo.research.config.experiment import Config
from embargo.research.leakbench.edits import Edit, edited
from embargo.research.leakbench.plants.catalogue import PLANTS
from embargo.research.leakbench.plants.plant import Plant, Planted
from embargo.research.leakbench.results import Alarm, BenchCase, CaseOutcome, Where
from embargo.research.leakbench.worlds import Clean, make_world, names_of
from embargo.research.progress import Quiet, Stages
from embargo.research.run.audit import Trail
from embargo.research.run.deep import audit_deeply
from embargo.research.run.pipeline import execute
from embargo.research.run.plan import Plan
from embargo.research.run.probing import probe_run
from embargo.research.run.world import Inputs, frame_hash, load_inputs

_NAMES = {check.title: name for name, check in CHECKS.items()}
_GRAVE = {"refused": 3, "leak": 3, "bad": 2, "suspicious": 1}
_SAID = 240


def carry_case(plant: str, kind: str, seed: int, dose: float, *, rows: int, known: Sequence[Alarm] = ()) -> BenchCase:
    """Carry a world through.

    Parameters
    ----------
    plant : str
        Name of a plant; empty for a clean world.
    kind : str
    seed : int
    dose : float
    rows : int
        Rows whose future the deep audit changes.
    known : sequence of Alarm
        What was said against the clean twin: the same said of the planted world proves nothing.
    """
    started = time.process_time()
    planted = PLANTS.get(plant)
    alarms: list[Alarm] = []
    heard = _Overheard()
    outcome: CaseOutcome
    by = message = ""
    try:
        with TemporaryDirectory(prefix="embargo-leakbench-") as folder:
            clean = make_world(kind, seed)
            rng = np.random.default_rng([seed, 11])
            world = Planted(clean.config, clean.inputs) if planted is None else planted.make(clean, dose, rng)
            probed = planted is None or planted.code[0] == "M"
            for said in _alarms(clean, world, Path(folder), heard, rows=rows, probed=probed):
                alarms += said
                if planted is not None and (named := _named(planted, said, known)) is not None:
                    by = named.check
                    break
        outcome = _judged(planted, alarms, known, by)
    except Exception as failure:  # a case that breaks is shown as such, and the others go on
        outcome, message = "failed", f"{type(failure).__name__}: {failure}"[:_SAID]
    return BenchCase(
        plant=plant,
        kind=kind,
        seed=seed,
        dose=dose,
        outcome=outcome,
        by=by,
        alarms=tuple(alarms),
        seconds=round(time.process_time() - started, 2),
        traded=heard.traded,
        message=message,
    )


def _judged(plant: Plant | None, heard: Sequence[Alarm], known: Sequence[Alarm], by: str) -> CaseOutcome:
    if plant is not None:
        if by:
            return "caught"
        return "wrong code" if any(_new(alarm, known) for alarm in heard) else "missed"
    said = {alarm.verdict for alarm in heard}
    if "refused" in said:
        return "refused"
    return "accused" if "leak" in said else "doubted" if "suspicious" in said else "clean"


def _new(alarm: Alarm, known: Sequence[Alarm]) -> bool:
    """Tell whether an alarm is graver than what the same check said of the clean twin."""
    before = [_GRAVE[each.verdict] for each in known if (each.code, each.check) == (alarm.code, alarm.check)]
    return _GRAVE[alarm.verdict] > max(before, default=0)


def _named(plant: Plant, alarms: Sequence[Alarm], known: Sequence[Alarm]) -> Alarm | None:
    """Return the first new alarm that names the cause."""
    for alarm in alarms:
        if alarm.verdict == "bad":
            right = alarm.code in plant.data
        elif alarm.verdict == "refused":
            right = bool(plant.refused) and plant.refused in alarm.said
        else:
            right = alarm.code in plant.codes
        if right and _new(alarm, known):
            return alarm
    return None


@dataclass
class _Overheard:
    """What a run lets slip on its way: its plan, and what it traded."""

    plans: list[Plan] = field(default_factory=list)
    traded: str = ""

    @property
    def plan(self) -> Plan:
        """The plan that the run made."""
        return self.plans[-1]


def _alarms(
    clean: Clean, world: Planted, folder: Path, heard: _Overheard, *, rows: int, probed: bool
) -> Iterator[list[Alarm]]:
    """Yield what is said against a world, by each part of the product in turn."""
    with edited(world.edits):
        try:
            config = world.config if clean.files is None or world.inputs is not None else clean.files(folder / "files")
            inputs = load_inputs(config, Quiet()) if world.inputs is None else world.inputs
            findings = _audited(config, inputs, folder, heard)
            plan = heard.plan
            yield [
                Alarm(code=check.code, verdict="bad", check=check.code, where="data", said=check.summary[:_SAID])
                for check in plan.data.faults
            ]
            yield _told(findings, "run")
            cache = folder / "cache"
            yield _told(audit_deeply(plan, inputs, cache, Quiet(), n_rows=rows), "deep")
            if probed:
                yield _told(probe_run(plan, cache, Quiet(), names=names_of(inputs)), "probes")
        except EmbargoError as failure:
            said = str(failure)[: 4 * _SAID]
            yield [Alarm(code="", verdict="refused", check=type(failure).__name__, where="door", said=said)]


class _Audited(Exception):  # noqa: N818 - nothing is wrong
    """Ends a run after its audit: nobody reads the reports of a benchmark."""


def _audited(config: Config, inputs: Inputs, folder: Path, heard: _Overheard) -> list[Finding]:
    """Carry out a run up to its audit, exactly as `execute` does, and keep the plan that it made."""
    found: list[Finding] = []

    def to_the_audit(audit: Callable[..., list[Finding]]) -> Callable[..., list[Finding]]:
        def ended(trail: Trail, stages: Stages) -> list[Finding]:
            heard.traded = frame_hash(trail.weights.assign(returns=trail.books.returns.to_numpy()))
            found.extend(audit(trail, stages))
            raise _Audited

        return ended

    def keeping(prepare: Callable[..., Plan]) -> Callable[..., Plan]:
        def kept(*given: Any) -> Plan:
            heard.plans.append(prepare(*given))
            return heard.plan

        return kept

    edits = (
        Edit("embargo.research.run.world:load_inputs", lambda _: lambda *_: inputs),
        Edit("embargo.research.run.preparation:prepare", keeping),
        Edit("embargo.research.run.audit:audit", to_the_audit),
    )
    with edited(edits), suppress(_Audited):
        execute(config, out=folder / "runs", cache=folder / "run cache", stages=Quiet())
    return found


def _told(findings: Sequence[Finding], where: Where) -> list[Alarm]:
    return [
        Alarm(
            code=finding.code,
            verdict=finding.verdict,
            check=_NAMES.get(finding.title, finding.title),
            where=where,
            said=finding.detail[:_SAID],
        )
        for finding in findings
        if finding.verdict in ("leak", "suspicious")
    ]
