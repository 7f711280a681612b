"""The deep audit of an experiment: what costs runs of its own, and so is done when asked for."""

from __future__ import annotations

from pathlib import Path

from embargo.backtest.leakage import Finding
from embargo.research.progress import Stages
from embargo.research.run.audit import judge_labels
from embargo.research.run.perturbation import Carried, perturb_run
from embargo.research.run.plan import Plan
from embargo.research.run.world import Inputs


def audit_deeply(
    plan: Plan,
    inputs: Inputs,
    cache: Path,
    stages: Stages,
    *,
    n_rows: int = 6,
    first: Carried | None = None,
    kept: Path | None = None,
) -> list[Finding]:
    """Carry a run out in worlds with other futures, and ask how far its labels reach.

    Parameters
    ----------
    plan : Plan
    inputs : Inputs
        What the plan was made from.
    cache : Path
        An empty folder, or the one in which ``first`` was carried through under `FIRST`.
    stages : Stages
    n_rows : int
        Rows whose future is changed.
    first : Carried, optional
        The run as it is, where it has been carried through already.
    kept : Path, optional
        Cache of the run itself, needed where a reader is paid for.
    """
    found = perturb_run(plan, inputs, cache, stages, first=first, n_rows=n_rows, seed=plan.config.seed, kept=kept)
    return [*found, judge_labels(plan)]
