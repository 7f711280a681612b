"""LeakBench: every plant and every clean world carried through the product's own audit, and counted.

Cases are independent and fixed by plant, kind, seed and dose, so that they run side by side, in any order, and a bench
that was killed goes on where it stopped. Clean worlds come first: what is said of a plant counts only beyond what is
said of its clean twin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import embargo
from embargo.backtest.leakage import LEAKS
from embargo.data_loaders.errors import ConfigError
from embargo.research.leakbench.carrying import carry_case
from embargo.research.leakbench.plants.catalogue import BEYOND_A_RUN, PLANTS, WITHOUT_PLANT
from embargo.research.leakbench.plants.plant import Plant
from embargo.research.leakbench.results import (
    FORMAT,
    Alarm,
    BenchCase,
    CodeResult,
    DoseResult,
    KindResult,
    LeakBench,
    NotTested,
    PlantResult,
    Rate,
    half_dose,
    rate,
    tally,
)
from embargo.research.leakbench.worlds import KINDS

# No check was set on worlds of these seeds.
FIRST_SEED = 6_200_000
SEEDS = 8
# The tuned reader costs as much as all others together.
SEEDS_OF_TUNED = 3
SEEDS_OF_PLANTS = 2
ROWS = 1
QUICK_PLANTS = ("own close decides", "no costs")

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """A case to be carried out."""

    plant: str
    kind: str
    seed: int
    dose: float

    @property
    def key(self) -> tuple[str, str, int, float]:
        """What fixes it."""
        return self.plant, self.kind, self.seed, self.dose


def tasks(*, quick: bool = False, only: Sequence[str] = ()) -> list[Task]:
    """List the cases: clean worlds, then plants.

    Parameters
    ----------
    quick : bool
        A handful of both.
    only : sequence of str
        Names or codes of plants; with them, only their clean twins are carried beside them.
    """
    if unknown := [name for name in only if not any(name in (plant.name, plant.code) for plant in PLANTS.values())]:
        raise ConfigError(f"leakbench: there is no plant {unknown[0]!r}. Name one of {', '.join(PLANTS)}, or a code.")
    wanted = [
        plant
        for plant in PLANTS.values()
        if (plant.name in QUICK_PLANTS if quick else not only or plant.name in only or plant.code in only)
    ]
    planted = [
        Task(plant.name, plant.world, FIRST_SEED + number, dose)
        for plant in wanted
        for dose in (plant.doses[:1] if quick else plant.doses)
        for number in range(SEEDS_OF_PLANTS)
    ]
    twins = {Task("", task.kind, task.seed, 0.0) for task in planted}
    if not quick and not only:
        for kind in KINDS:
            number = SEEDS_OF_TUNED if kind == "tuned" else SEEDS
            twins |= {Task("", kind, FIRST_SEED + each, 0.0) for each in range(number)}
    return [*sorted(twins, key=lambda task: task.key), *planted]


def run_bench(
    wanted: Sequence[Task], progress: Path, *, rows: int = ROWS, processes: int = 2, told: Told = lambda *_: None
) -> list[BenchCase]:
    """Carry out cases, those apart that ``progress`` holds already.

    Parameters
    ----------
    wanted : sequence of Task
    progress : Path
        A file of finished cases, one JSON object a line; it grows as cases finish.
    rows : int
        Rows whose future the deep audit changes.
    processes : int
    told : callable
        Called with (cases done, cases in all).

    Returns
    -------
    list of BenchCase
        In the order of ``wanted``.
    """
    done = {case.key: case for case in _finished(progress)}
    # Rewritten whole, so that nothing is appended to a line that was cut short.
    progress.write_text("".join(case.model_dump_json() + "\n" for case in done.values()), encoding="utf-8")
    clean = [task for task in wanted if not task.plant]
    planted = [task for task in wanted if task.plant]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for part in (clean, planted):
            left = [task for task in part if task.key not in done]
            futures = [
                pool.submit(
                    carry_case,
                    task.plant,
                    task.kind,
                    task.seed,
                    task.dose,
                    rows=rows,
                    known=_said_of_twin(task, done) if task.plant else (),
                )
                for task in left
            ]
            for future in as_completed(futures):
                case = future.result()
                done[case.key] = case
                with progress.open("a", encoding="utf-8") as file:
                    file.write(case.model_dump_json() + "\n")
                told(sum(task.key in done for task in wanted), len(wanted))
    return [done[task.key] for task in wanted]


def progress_of(folder: Path, *, rows: int) -> Path:
    """Name the file of finished cases for the product as it stands: other code, another file."""
    root = Path(embargo.__file__).parent.resolve()
    digest = hashlib.sha256(str(rows).encode())
    for package in ("backtest", "data_loaders", "models", "research", "signals"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.read_bytes())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"leakbench-{digest.hexdigest()[:16]}.jsonl"


def summarise(cases: Sequence[BenchCase], *, rows: int = ROWS, complete: bool = True) -> LeakBench:
    """Count what was caught, missed and falsely said.

    Parameters
    ----------
    cases : sequence of BenchCase
    rows : int
    complete : bool
        Whether these are all cases there are.
    """
    clean = [case for case in cases if not case.plant]
    planted = [case for case in cases if case.plant]
    twins = {(case.kind, case.seed): case.traded for case in clean}
    plants = [_of_plant(plant, own, twins) for plant in PLANTS.values() if (own := _own(planted, plant))]
    full = [case for case in planted if case.dose == PLANTS[case.plant].doses[0]]
    low = [case for case in planted if len(PLANTS[case.plant].doses) > 1 and case.dose == PLANTS[case.plant].doses[1]]
    return LeakBench(
        format=FORMAT,
        version=embargo.__version__,
        complete=complete,
        rows=rows,
        seconds=round(sum(case.seconds for case in cases), 1),
        clean=rate(sum(case.outcome == "clean" for case in clean), len(clean)),
        accused=rate(_with(clean, "leak"), len(clean)),
        doubted=rate(_with(clean, "suspicious"), len(clean)),
        bad_data=rate(_with(clean, "bad"), len(clean)),
        alarms=_alarms_by(clean),
        full=_caught(full),
        low=_caught(low),
        kinds=tuple(_of_kind(kind, same) for kind in KINDS if (same := [case for case in clean if case.kind == kind])),
        codes=tuple(
            _of_code(code, like) for code in LEAKS if (like := [plant for plant in plants if plant.code == code])
        ),
        plants=tuple(plants),
        not_tested=tuple(
            NotTested(code=code, leak=LEAKS[code], why=why)
            for listed in (WITHOUT_PLANT, BEYOND_A_RUN)
            for code, why in listed.items()
        ),
        cases=tuple(cases),
    )


def _finished(progress: Path) -> Iterable[BenchCase]:
    if not progress.is_file():
        return
    for line in progress.read_text(encoding="utf-8").splitlines():
        # A line that was being written when the bench was killed is not whole.
        if line.endswith("}"):
            yield BenchCase.model_validate_json(line)


def _said_of_twin(task: Task, done: dict[tuple[str, str, int, float], BenchCase]) -> tuple[Alarm, ...]:
    return done["", task.kind, task.seed, 0.0].alarms


def _own(cases: Sequence[BenchCase], plant: Plant) -> list[BenchCase]:
    return [case for case in cases if case.plant == plant.name]


def _with(cases: Sequence[BenchCase], verdict: str) -> int:
    return sum(any(alarm.verdict == verdict for alarm in case.alarms) for case in cases)


def _alarms_by(cases: Sequence[BenchCase]) -> dict[str, int]:
    """Count worlds by what was said against them; a check that says it twice of one world counts once."""
    return tally(
        name
        for case in cases
        for name in {f"{alarm.code} {alarm.check}: {alarm.verdict}".strip() for alarm in case.alarms}
    )


def _caught(cases: Sequence[BenchCase]) -> Rate:
    return rate(sum(case.outcome == "caught" for case in cases), len(cases))


def _of_plant(plant: Plant, cases: Sequence[BenchCase], twins: Mapping[tuple[str, int], str]) -> PlantResult:
    doses = []
    for dose in plant.doses:
        own = [case for case in cases if case.dose == dose]
        if own:
            doses.append(
                DoseResult(
                    dose=dose,
                    caught=_caught(own),
                    wrong_code=sum(case.outcome == "wrong code" for case in own),
                    failed=sum(case.outcome == "failed" for case in own),
                    idle=sum(bool(case.traded) and case.traded == twins.get((case.kind, case.seed)) for case in own),
                    by=tally(case.by for case in own if case.by),
                )
            )
    half, where = half_dose([(each.dose, each.caught.count / each.caught.of) for each in doses])
    return PlantResult(
        name=plant.name,
        code=plant.code,
        what=plant.what,
        world=plant.world,
        also=plant.also,
        data=plant.data,
        doses=tuple(doses),
        half_dose=half,
        half_dose_is=where,
        seconds=round(sum(case.seconds for case in cases), 1),
    )


def _of_code(code: str, plants: Sequence[PlantResult]) -> CodeResult:
    full = [plant.doses[0] for plant in plants]
    low = [plant.doses[1] for plant in plants if len(plant.doses) > 1]
    together = [each for plant in plants for each in plant.doses]
    return CodeResult(
        code=code,
        leak=LEAKS[code],
        plants=len(plants),
        full=rate(sum(each.caught.count for each in full), sum(each.caught.of for each in full)),
        low=rate(sum(each.caught.count for each in low), sum(each.caught.of for each in low)) if low else None,
        by=tally(name for each in together for name, count in each.by.items() for _ in range(count)),
        seconds=round(sum(plant.seconds for plant in plants), 1),
    )


def _of_kind(kind: str, cases: Sequence[BenchCase]) -> KindResult:
    return KindResult(
        kind=kind,
        what=KINDS[kind].what,
        worlds=len(cases),
        accused=_with(cases, "leak"),
        doubted=_with(cases, "suspicious"),
        bad_data=_with(cases, "bad"),
        refused=_with(cases, "refused"),
        failed=sum(case.outcome == "failed" for case in cases),
        by=_alarms_by(cases),
        seconds=round(sum(case.seconds for case in cases), 1),
    )
