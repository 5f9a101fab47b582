"""Hostile actions by the thousand: each one is an error before anything happens, or refused and reported.

``python -m experiments.fuzz --actions 100000``

Malformed mappings, elements outside of the action space and hand-built commands with wrong kinds, elements and values
(also NaN, infinite, huge). A twin of every episode is played without the refused actions and must stay identical.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm import tqdm

import marlgrid
from marlgrid.simulation import Reason
from marlgrid.simulation.action import Commands, Kind
from marlgrid.simulation.state import State

BUILTIN = ("case5", "case14", "case118")
FOLDERS = ("rte_case5_example", "educ_case14_storage", "l2rpn_icaps_2021", "l2rpn_idf_2023")
KEYS = ("set_line_status", "change_line_status", "set_bus", "change_bus", "redispatch", "set_storage", "curtail",
        "raise_alarm", "raise_alert")  # fmt: skip
SUB_KEYS = ("loads_id", "generators_id", "lines_or_id", "lines_ex_id", "storages_id", "substations_id", "topo_vect_id")
ODD = (
    float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 1e-300, 2**31, 2**63, -(2**63), -1, 0, 1, 2, 3, 0.5, True,
    None, "", "no such name", b"x", 1j, object(), [], (), {}, [None], [[1]], {1: {2: 3}}, {"a"}, np.array(1.0),
    np.array([np.nan, 1]), np.zeros((2, 2)), np.array(["a"]), np.array([None]), np.datetime64("2020-01-01"), range(3),
)  # fmt: skip
"""Values nobody should give, and some that are fine in places."""


@dataclass
class Findings:
    """What became of the hostile actions."""

    answers: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Fuzz:
    """One case under fire, and its twin."""

    def __init__(self, case: str, seed: int) -> None:
        self.case, self.rng = case, np.random.default_rng(seed)
        self.env, self.twin = (marlgrid.parallel_env(case, zones=3 if case in BUILTIN else 2) for _ in range(2))
        self.grid, self.found, self.episode = self.env.task.system.grid, Findings(), 0

    def run(self, n_action: int) -> Findings:
        for _ in tqdm(range(n_action), self.case, leave=False, disable=None):
            if not self.env.agents:
                self.start()
            self.fire()
        return self.found

    def start(self) -> None:
        for env in (self.env, self.twin):
            env.reset(seed=self.episode)
        self.episode += 1

    def fire(self) -> None:
        """One hostile action of one zone."""
        agent, before = self.env.agents[int(self.rng.integers(len(self.env.agents)))], self.env.snapshot()
        kept, what = _copy(before.state), self.draw(agent)
        calm: dict[str, Any] = dict.fromkeys(self.env.agents, 0)
        try:
            action = self.env.make_action(what) if isinstance(what, dict) else what
            _, _, _, _, infos = self.env.step(calm | {agent: action})
        except (ValueError, TypeError) as error:
            self.found.answers[type(error).__name__] += 1
            if not str(error):
                self.problem(what, "an error without a message")
            if self.env.snapshot() is not before or not _same(kept, before.state):
                self.problem(what, "an error that changed the episode")
            return
        except Exception as error:
            self.problem(what, f"{type(error).__name__}: {error}")
            return
        reason = Reason(int(infos[agent]["reason"]))
        self.found.answers[reason.name] += 1
        refused = reason not in (Reason.ACCEPTED, Reason.DISPATCH_INFEASIBLE, Reason.GEN_SWITCHED_TOO_SOON)
        self.twin.step(calm if refused else calm | {agent: action})
        self.inspect(what)

    def inspect(self, what: Any) -> None:
        state = self.env.current
        if not _same(_plain(state), _plain(self.twin.current)):
            self.problem(what, "the episode differs from its twin without the refused actions")
            self.env.agents = []
        if state.running[0] and not all(np.isfinite(a).all() for a in _arrays(state) if a.dtype.kind in "fc"):
            self.problem(what, "a number that is not finite in a running episode")

    def problem(self, what: Any, why: str) -> None:
        self.found.problems.append(f"{self.case}, {what!r}: {why}")

    # ------------------------------------------------------------------ hostile actions
    def draw(self, agent: str) -> Any:
        kind = self.rng.random()
        if kind < 0.6:
            return {self.pick((*KEYS, "no_such_key")): self.value() for _ in range(int(self.rng.integers(1, 4)))}
        return self.commands() if kind < 0.85 else self.element(agent)

    def pick(self, options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def number(self) -> Any:
        """An id or value: mostly a plausible one."""
        return self.pick(ODD) if self.rng.random() < 0.15 else int(self.rng.integers(-1, 6))

    def amount(self) -> Any:
        return self.pick(ODD) if self.rng.random() < 0.2 else self.pick((-1, 1, 2, 0.5, -0.7, True))

    def value(self) -> Any:
        """A value of a key, in any form or none."""
        form = int(self.rng.integers(7))
        pairs = [(self.number(), self.amount()) for _ in range(int(self.rng.integers(1, 4)))]
        if form == 0:
            return pairs
        if form == 1:
            return [number for number, _ in pairs]
        if form == 2:
            return {number: amount for number, amount in pairs if _hashable(number)}
        if form == 3:
            sub = self.pick((*SUB_KEYS, "no_such_sub_key"))
            size = int(self.rng.integers(1, 7))
            vector = (int(self.rng.integers(6)), self.rng.integers(-1, 4, size))
            return {sub: [vector] if sub == "substations_id" else pairs}
        if form == 4:
            n = int(self.pick((self.grid.n_line, self.grid.n_gen, self.grid.dim_topo, 3)))
            return self.rng.choice([-1.0, 0.0, 1.0, 2.0, np.nan, np.inf], n)
        return self.pick(ODD) if form == 5 else pairs[0]

    def commands(self) -> Commands:
        """Built by hand: any kinds, elements and values, of fitting types or not."""
        n = int(self.rng.integers(0, 5))
        if self.rng.random() < 0.3:
            return Commands(self.pick(ODD), self.pick(ODD), self.pick(ODD))
        kind = np.sort(self.rng.integers(-1 if self.rng.random() < 0.2 else 0, len(Kind) + 1, n)).astype(np.int8)
        far = 10**9 if self.rng.random() < 0.2 else 6
        index = self.rng.integers(-1 if self.rng.random() < 0.2 else 0, far, n).astype(np.int32)
        value = self.rng.choice([-1.0, 0.0, 1.0, 2.0, 0.5, np.nan, np.inf, -1e300, 1e9, 300.0], n)
        if self.rng.random() < 0.2:
            with np.errstate(over="ignore"):  # huge in single precision is infinite
                value = self.pick((value[:-1], value.astype(np.float32), value[:, None], value.tolist()))
        return Commands(kind, index, value)

    def element(self, agent: str) -> Any:
        """Of the action space, or beside it."""
        size = int(self.env.action_space(agent).n)
        return self.pick((*ODD, size, -size, int(self.rng.integers(size)), np.int8(1), np.float64(1), [0], "0"))


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _plain(state: State) -> State:
    """Without what a refused action may leave by right: its alerts, and that it was refused."""
    return state._replace(alert=(), alarm=())


def _arrays(record: Any) -> list[np.ndarray]:
    if isinstance(record, tuple):
        return [array for part in record for array in _arrays(part)]
    return [np.asarray(record)]


def _copy(record: Any) -> list[np.ndarray]:
    return [array.copy() for array in _arrays(record)]


def _same(one: Any, other: Any) -> bool:
    sides = (side if isinstance(side, list) else _arrays(side) for side in (one, other))
    return all(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc") for a, b in zip(*sides, strict=True))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=int, default=100_000, help="over all cases together")
    parser.add_argument("--cases", nargs="+", default=[*BUILTIN, *FOLDERS])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    answers, problems = Counter(), []
    for case in asked.cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = Fuzz(case, asked.seed).run(-(-asked.actions // len(asked.cases)))
        answers += found.answers
        problems += found.problems
        print(f"{case}: {dict(found.answers)}, problems={len(found.problems)}", flush=True)
        for problem in found.problems[:5]:
            print("   ", problem[:500])
    print(f"actions={sum(answers.values())}, problems={len(problems)}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
