"""Do our attackers attack as Grid2Op's do? Attack plans of many episodes, compared by statistical tests.

Each data set's own opponent plans its attacks in Grid2Op's ``OpponentSpace`` and, under the same terms, by our rules.
No power flow is solved: every line is in service unless attacked, under fixed loadings. Differences that marlgrid
intends are taken out by name (``EXCLUDED``).
"""

# ruff: noqa: SLF001 (Grid2Op's opponent and its terms are private)

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import stats

from marlgrid.env.registry import make_task
from marlgrid.model.system import System
from marlgrid.simulation.action import do_nothing
from marlgrid.simulation.frame import Memory
from marlgrid.simulation.state import State, take
from marlgrid.simulation.step import conclude, decide
from marlgrid.task.opponents import opponent_from
from marlgrid.task.task import Task

CASES = {
    "random": "rte_case14_opponent",
    "weighted": "l2rpn_neurips_2020_track1",
    "geometric": "l2rpn_icaps_2021",
    "multi-area": "l2rpn_idf_2023",
}
"""Our attacker, and the data set that comes with it."""
EXCLUDED = {
    "clean-cooldown": "at least a cooldown lies between the starts of two attacks; Grid2Op's space is given that rule",
    "planned-attack-waits": "what a plan cannot pay for is lost there and waits here; geometric and multi-area "
    "attackers have ample budgets on both sides",
    "plan-burns-while-a-line-is-out": "a planned attack waits here; lines return as soon as they may on both sides",
    "attack-renewed-each-step": "multi-area attacks know no longest duration there, and none is set here",
}
"""Differences by design, and how the comparison leaves them out."""
LEVEL = 0.01
"""Chance that one or more of all tests fail although nothing differs: each has this level over their number."""
PLENTY = 1e6


@dataclass(frozen=True)
class Attacks:
    """Attacks of many episodes; those that the end of an episode cuts are left out of ``duration``."""

    count: np.ndarray
    """(n_episode,) attacks started."""
    first: np.ndarray
    """Step of the first attack of an episode and area."""
    between: np.ndarray
    """Steps between the starts of two attacks in an area."""
    duration: np.ndarray
    """Steps."""
    line: np.ndarray
    """Number of the attacked line."""


def attacks_of(out: np.ndarray, areas: list[np.ndarray]) -> Attacks:
    """The attacks in ``out`` (n_episode, n_step, n_line) bool: which lines are under attack in which step."""
    n_episode, n_step, _ = out.shape
    padded = np.zeros((n_episode, n_step + 2, out.shape[2]), dtype=np.int8)
    padded[:, 1:-1] = out
    change = np.diff(padded, axis=1)
    episode, line, begin = np.nonzero(np.moveaxis(change > 0, 1, 2))
    end = np.nonzero(np.moveaxis(change < 0, 1, 2))[2]
    first, between = [], []
    for area in areas:
        for one in range(n_episode):
            starts = np.sort(begin[(episode == one) & area[line]])
            first.extend(starts[:1])
            between.extend(np.diff(starts))
    return Attacks(
        np.bincount(episode, minlength=n_episode), np.array(first), np.array(between), (end - begin)[end < n_step], line
    )


# ---------------------------------------------------------------------- ours
def ours(task: Task, n_episode: int, n_step: int, seed: int = 0) -> np.ndarray:
    """(n_episode, n_step, n_line) bool: lines under attack, by our rules without power flow."""
    system, opponent = task.system, opponent_from("case", task.system)
    state = take(task.reset(seed)[0].state, np.zeros(n_episode, dtype=int))
    state = state._replace(seed=seed + np.arange(n_episode, dtype=np.int64))
    memory, out = opponent.reset(system, state), np.zeros((n_episode, n_step, system.grid.n_line), dtype=bool)
    for step in range(n_step):
        attack, memory = opponent.attack(system, state, memory)
        state = _next(system, state, attack)
        out[:, step] = state.attacked.line > 0
    return out


def _next(system: System, state: State, attack: Any) -> State:
    """The state after the attack is judged and the clock has run, everything else as it was."""
    nothing = do_nothing(state.n_env, system.n_zone)
    memory = Memory(system, state.n_env)
    memory.load(state)
    decide(system, state, memory, nothing, attack)
    if memory.frame.ruling.attack_refused.any():
        raise AssertionError("a scripted attacker asked for what the rules do not allow")
    conclude(system, memory, nothing)
    after = memory.state
    return state._replace(t=after.t, counters=after.counters, attack=after.attack, attacked=after.attacked)


# ---------------------------------------------------------------------- Grid2Op
def theirs(case: str, rho: np.ndarray, n_episode: int, n_step: int, ample: bool, seed: int = 0) -> np.ndarray:
    """The same for the data set's opponent in Grid2Op's ``OpponentSpace``, with a clean cooldown."""
    import grid2op
    from grid2op.Opponent import OpponentSpace

    class CleanCooldown(OpponentSpace):
        def attack(self, observation: Any, agent_action: Any, env_action: Any) -> Any:
            self.current_attack_cooldown = max(self.current_attack_cooldown, self.attack_cooldown + 1)
            return super().attack(observation, agent_action, env_action)

    env = grid2op.make(case, test=True)
    opponent = type(env._oppSpace.opponent)(env._oppSpace.action_space)
    around = SimpleNamespace(
        max_episode_duration=lambda: n_step, delta_time_seconds=env.delta_time_seconds, logger=env.logger
    )
    opponent.init(around, **env._kwargs_opponent)
    opponent.seed(seed)
    space = CleanCooldown(
        env._oppSpace.compute_budget,
        PLENTY if ample else env._opponent_init_budget,
        opponent,
        env._opponent_attack_duration,
        env._opponent_attack_cooldown,
        env._opponent_budget_per_ts,
    )
    status, loading = np.ones(len(rho), dtype=bool), rho.astype(np.float32)
    seen = [SimpleNamespace(line_status=status, rho=loading, current_step=step) for step in range(n_step)]
    out = np.zeros((n_episode, n_step, len(rho)), dtype=bool)
    for episode in range(n_episode):
        space.reset()
        for step, observation in enumerate(seen):
            attack, _ = space.attack(observation, None, None)
            if attack is not None:
                out[episode, step] = attack._set_line_status < 0
    env.close()
    return out


# ---------------------------------------------------------------------- tests
def p_values(one: Attacks, other: Attacks) -> dict[str, float]:
    """How likely samples as different as these are if both sides follow the same law.

    Chi-square of two samples for counts and lines (classes with few joined), Kolmogorov-Smirnov for times (on whole
    numbers its p-values are too large rather than too small).
    """
    return {
        "attacks per episode": _chi_square(one.count, other.count),
        "first attack": _ks(one.first, other.first),
        "between attacks": _ks(one.between, other.between),
        "durations": _ks(one.duration, other.duration),
        "lines": _chi_square(one.line, other.line),
    }


def _ks(one: np.ndarray, other: np.ndarray) -> float:
    return float(stats.ks_2samp(one, other).pvalue)


def _chi_square(one: np.ndarray, other: np.ndarray, least: int = 10) -> float:
    """Values seen fewer than ``least`` times on both sides together count as one class with their neighbours."""
    values = np.unique(np.concatenate([one, other]))
    table = np.array([[(side == value).sum() for value in values] for side in (one, other)])
    classes: list[np.ndarray] = []
    for column in table.T:
        if classes and (classes[-1].sum() < least or column.sum() < least):
            classes[-1] = classes[-1] + column
        else:
            classes.append(column)
    return 1.0 if len(classes) < 2 else float(stats.chi2_contingency(np.array(classes).T).pvalue)


@dataclass(frozen=True)
class Comparison:
    """One attacker on both sides."""

    name: str
    ours: Attacks
    theirs: Attacks

    @property
    def p(self) -> dict[str, float]:
        return p_values(self.ours, self.theirs)


def compare(name: str, n_episode: int, n_step: int, seed: int = 0) -> Comparison:
    """One of ``CASES`` in ours and in Grid2Op."""
    case, ample = CASES[name], name in ("geometric", "multi-area")
    task = make_task(case, zones=1, attack={"initial_budget": PLENTY} if ample else None)
    system = task.system
    rho = task.reset(seed)[0].state.rho[0]
    named = system.attacker.settings.get("areas", (system.attack.lines,))
    areas = [np.isin(system.grid.name_line, area) for area in named]
    if name == "multi-area":  # there an attack is renewed in every step and so has no longest duration
        task = replace(task, system=replace(system, attack=replace(system.attack, max_duration=n_step)))
    return Comparison(
        name,
        attacks_of(ours(task, n_episode, n_step, seed), areas),
        attacks_of(theirs(case, rho, n_episode, n_step, ample, seed), areas),
    )


def report(found: Comparison) -> str:
    """Rows of the table: quantity, mean on both sides, p-value."""
    rows = {
        "attacks per episode": "count",
        "first attack": "first",
        "between attacks": "between",
        "durations": "duration",
        "lines": "line",
    }
    text = []
    for quantity, field in rows.items():
        one, other = getattr(found.ours, field), getattr(found.theirs, field)
        means = (f"{side.mean():9.2f}" if field != "line" else f"{len(np.unique(side)):9d}" for side in (one, other))
        text.append(f"{found.name:<11}{quantity:<21}{'  '.join(means)}  {found.p[quantity]:8.4f}")
    return "\n".join(text)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--opponents", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--episodes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=864, help="steps of an episode (864: three days)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(f"{'opponent':<11}{'quantity':<21}{'ours':>9}  {'Grid2Op':>9}  {'p':>8}   (means; lines: how many)")
    values: list[float] = []
    for name in options.opponents:
        found = compare(name, options.episodes, options.steps, options.seed)
        print(report(found), flush=True)
        values += found.p.values()
    for name, what in EXCLUDED.items():
        print(f"excluded: {name}: {what}")
    bound = LEVEL / len(values)
    agree = min(values) > bound
    print(
        f"episodes={options.episodes}, tests={len(values)}, least p={min(values):.4f}, bound={bound:.4f}, agree={agree}"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
