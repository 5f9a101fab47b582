"""The comparison with Grid2Op over many environments and policies, in processes; it goes on where it stopped.

``python -m experiments.parity --case all --policy all --steps 2000 --simulate 200 --jobs 2``

Each finished run is a line of ``--results``; what has one there, at least as long, is not played again.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from experiments.parity_lock_step import LockStep

N_SHOWN = 3
"""Mismatches of a run that are kept in words."""


class Asked(NamedTuple):
    """One run: an environment, a policy, and for how long."""

    case: str
    policy: str
    seed: int
    limits: float
    steps: int
    simulate: int
    """States on which what-if answers are compared."""

    @property
    def of(self) -> tuple[str, str, int, float]:
        """What is compared, however long."""
        return self.case, self.policy, self.seed, self.limits


class Run(NamedTuple):
    """What one run found."""

    asked: Asked
    steps: int
    mismatches: int
    simulated: int
    under_attack: int
    trips: int
    dispatch_gap_mw: float
    cpu_seconds: float
    verdicts: dict[str, int]
    ends: dict[str, int]
    excluded: dict[str, int]
    first: list[str]
    """The first mismatches, in words."""

    def __str__(self) -> str:
        return (
            f"{self.asked.case:<31}{self.asked.policy:<10}steps={self.steps}, mismatches={self.mismatches}, "
            f"simulated={self.simulated}, under_attack={self.under_attack}, trips={self.trips}, "
            f"ends={sum(self.ends.values())}, excluded={self.excluded}"
        )


def runs_asked(
    cases: Iterable[str], policies: Iterable[str], steps: int, simulate: int = 0, seed: int = 0, limits: float = 1.0
) -> list[Asked]:
    """Every environment with every policy; ``simulate`` states of each environment, shared out over the policies."""
    policies = tuple(policies)
    states = -(-simulate // len(policies))
    return [Asked(case, policy, seed, limits, steps, states) for case, policy in product(cases, policies)]


def play(asked: Asked) -> Run:
    """One run, in a process that keeps the two worlds of an environment for its next one."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = _worlds(asked.case, asked.limits)
        tally = pair.run(asked.policy, asked.steps, asked.simulate, asked.seed, progress=False)
    return Run(
        asked, tally.steps, len(tally.mismatches), tally.simulated, tally.under_attack, tally.trips,
        round(tally.dispatch_gap_mw, 3), round(time.process_time() - began, 1), dict(tally.reasons), dict(tally.ends),
        dict(tally.excluded), tally.mismatches[:N_SHOWN],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _worlds(case: str, limits: float) -> LockStep:
    return LockStep(case, limits)


def sweep(asked: list[Asked], file: Path, jobs: int, player: Callable[[Asked], Run] = play) -> list[Run]:
    """Plays what ``file`` does not hold yet and appends each run as it ends; all that were asked for, in their order.

    Interrupted, it leaves the file with every run that had ended.
    """
    done = {run.asked.of: run for run in _longest(read(file))}
    left = [one for one in asked if not _holds(done, one)]
    if len(left) < len(asked):
        known = f"{len(asked) - len(left)} of {len(asked)} runs are read from {file}, as an earlier command played them"
        tqdm.write(f"{known}; name another file as --results to play them anew")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=sum(one.steps for one in asked), unit="step", disable=None) as bar:
        bar.update(bar.total - sum(one.steps for one in left))
        for run in _ended(left, jobs, player):
            _append(file, run)
            done[run.asked.of] = run
            tqdm.write(str(run))
            bar.update(run.asked.steps)
    return [done[one.of] for one in asked]


def _ended(asked: list[Asked], jobs: int, player: Callable[[Asked], Run]) -> Iterator[Run]:
    """Each run as it ends, played here or in ``jobs`` processes."""
    if jobs == 1:
        yield from map(player, asked)
        return
    context = multiprocessing.get_context("spawn")
    # an interrupt ends the playing processes at once: no half-played run is of use
    with ProcessPoolExecutor(jobs, context, signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
        try:
            for ended in as_completed([pool.submit(player, one) for one in asked]):
                yield ended.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _holds(done: dict[Any, Run], one: Asked) -> bool:
    """Whether it was played, at least for as long."""
    before = done.get(one.of)
    return before is not None and before.asked.steps >= one.steps and before.asked.simulate >= one.simulate


def _longest(runs: list[Run]) -> list[Run]:
    """Shorter ones first, so that of equal ones the longest counts."""
    return sorted(runs, key=lambda run: (run.asked.steps, run.asked.simulate))


def read(file: Path) -> list[Run]:
    """The runs that a file of results holds; none if there is no such file."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [_run_of(line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]


def _run_of(line: str, where: str) -> Run:
    try:
        record = json.loads(line)
        return Run(**(record | {"asked": Asked(**record["asked"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{where} is not a run of this comparison ({error}): delete the line or the file") from error


def _append(file: Path, run: Run) -> None:
    with file.open("a") as out:
        out.write(json.dumps(run._asdict() | {"asked": run.asked._asdict()}) + "\n")


def as_table(runs: list[Run]) -> str:
    """For the terminal, with the first mismatches below and the sums last."""
    head = ("environment", "policy", "steps", "mismatches", "simulated", "attacked", "trips", "ends", "gap MW", "CPU s")
    rows = [
        (
            run.asked.case, run.asked.policy, run.steps, run.mismatches, run.simulated, run.under_attack, run.trips,
            sum(run.ends.values()), f"{run.dispatch_gap_mw:.2f}", f"{run.cpu_seconds:.0f}",
        )
        for run in runs
    ]  # fmt: skip
    excluded: dict[str, int] = {}
    for run in runs:
        excluded |= {name: excluded.get(name, 0) + n for name, n in run.excluded.items()}
    return "\n".join(
        [
            *(f"{row[0]:<31}{row[1]:<9}" + "".join(f"{value:>11}" for value in row[2:]) for row in [head, *rows]),
            *(f"{run.asked.case} {run.asked.policy}: {problem}" for run in runs for problem in run.first),
            f"simulated={sum(run.simulated for run in runs)}, excluded={excluded}",
            f"steps={sum(run.steps for run in runs)}, mismatches={sum(run.mismatches for run in runs)}",
        ]
    )
