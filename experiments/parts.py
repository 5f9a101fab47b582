"""Where a step's time goes: each part timed where it is called, in the loop of an episode that nobody disturbs.

Called again and again by itself, a part finds its code and data in the processor's caches and takes half of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Any

import marlgrid
from marlgrid.env.parallel import GridParallelEnv
from marlgrid.powerflow import newton
from marlgrid.simulation import protections, step
from marlgrid.task import task
from marlgrid.task.accounts import Figures
from marlgrid.task.task import Task

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("a step of the environment", GridParallelEnv, "step"),
    ("  of the task", Task, "advance"),
    ("    of the simulation", step, "step"),
    ("      next row of the time series", step, "fill"),
    ("      judge, switching, outages, dispatch", step, "_decide"),
    ("      power flow", newton, "solve_rows"),
    ("      trips", protections, "trip"),
    ("      counters, cooldowns, warnings, end", step, "_conclude"),
    ("    from the agents' numbers to an attack", Task, "_attack"),
    ("    costs and totals", task, "account"),
    ("    rewards", Task, "_rewards"),
    ("  all that agents see", Task, "show"),
    ("    masks", Task, "action_masks"),
    ("  infos as dicts of numbers", Figures, "infos_of"),
)
"""What is timed, indented under what it is a part of, and where it is looked up when called."""


@dataclass(frozen=True)
class Parts:
    """Microseconds by part; what a part takes besides those below it is its own."""

    what: str
    rows: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        lines = [f"  {name:<45} {microseconds:>7.1f} us" for name, microseconds in self.rows]
        return "\n".join([self.what, *lines])


def parts_of_a_step(case: Any, episodes: int = 4, steps: int = 300, **options: Any) -> Parts:
    """Medians over the steps of some episodes in which nobody acts; the first one warms up and does not count."""
    env = marlgrid.parallel_env(case, **options)
    with timed() as spent:
        for episode in range(1 + episodes):
            env.reset(seed=1)
            if episode == 1:
                for taken in spent.values():
                    taken.clear()
            for _ in range(steps):
                if not env.agents:
                    break
                env.step(dict.fromkeys(env.agents, 0))
    rows = tuple((name, median(taken) / 1000) for name, taken in spent.items() if taken)
    return Parts(f"parts of a step, {case}, {len(env.possible_agents)} agents", rows)


@contextmanager
def timed() -> Iterator[dict[str, list[int]]]:
    """Nanoseconds of every call of the parts, by name."""
    spent: dict[str, list[int]] = {name: [] for name, *_ in PARTS}
    originals = [(owner, attribute, getattr(owner, attribute)) for _, owner, attribute in PARTS]
    for (name, owner, attribute), (*_, original) in zip(PARTS, originals, strict=True):
        setattr(owner, attribute, _timing(original, spent[name]))
    try:
        yield spent
    finally:
        for owner, attribute, original in originals:
            setattr(owner, attribute, original)


def _timing(function: Callable[..., Any], taken: list[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        begun = perf_counter_ns()
        result = function(*arguments, **named)
        taken.append(perf_counter_ns() - begun)
        return result

    return call
