"""Attackers that were trained, and mixtures of attackers: they play wherever a scripted opponent does."""

# ruff: noqa: ARG002 - the protocol says what the arguments are
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.base import Agent
from agents.registry import agent_from
from marlgrid import seeding
from marlgrid.compiled import kernel_in_place
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.powerflow.base import PowerFlow
from marlgrid.rllib.policies import Policy, load_policies
from marlgrid.seeding import one_uniform
from marlgrid.simulation.action import Action, Attack, SubstationAttack, no_attack
from marlgrid.simulation.state import State, put, take
from marlgrid.task.accounts import zero_totals
from marlgrid.task.attack_actions import attack_actions
from marlgrid.task.features import OPPONENT, VectorObservation
from marlgrid.task.opponents import NoOpponent, Opponent, WorstCaseOpponent, opponent_from
from marlgrid.task.opponents.registry import OPPONENTS, OWN
from marlgrid.task.task import Episode, Task

STREAM_MEMBER = 961
STREAM_ACTION = 962
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class LearnedOpponent:
    """The policy of ``opponent_0`` out of a checkpoint, which sees and may do exactly what that agent would.

    It draws from the probabilities of its policy, by the episode's seed and step: an attacker that is to surprise
    keeps its moments open, and the likeliest of its actions is mostly to wait. ``best=True`` takes the likeliest.
    The task that uses it binds it to its time series.
    """

    policy: Policy
    best: bool = False
    series: TimeSeries | None = None

    @classmethod
    def load(cls, checkpoint: str | Path, best: bool = False) -> LearnedOpponent:
        """The opponent of a checkpoint. Raises ValueError if none was trained there."""
        policies = load_policies(checkpoint)
        if OPPONENT not in policies:
            raise ValueError(
                f"checkpoint {str(checkpoint)!r} has no {OPPONENT}, only {sorted(policies)}: train one with "
                "--learner opponent"
            )
        return cls(policies[OPPONENT], best)

    def bind(self, series: TimeSeries, solver: PowerFlow) -> LearnedOpponent:
        """The same attacker on a task's time series."""
        return replace(self, series=series)

    def reset(self, system: System, state: State) -> tuple[()]:
        return ()

    def attack(self, system: System, state: State, memory: tuple[()]) -> tuple[Attack, tuple[()]]:
        if self.series is None:
            raise RuntimeError("a learned attacker needs a task's time series: call bind first")
        actions = attack_actions(system)
        mask = actions.mask(state)
        rows = np.flatnonzero((mask[:, 1:] > 0).any(axis=1) & state.running)
        if len(rows) == 0:
            return no_attack(state.n_env, system.grid.n_line), memory
        part = state if len(rows) == state.n_env else take(state, rows)
        logits = self.policy.logits(_view(system, self.series).observe(part)[OPPONENT], mask[rows])
        if not self.best:
            drawn = seeding.uniform(part.seed, part.t, STREAM_ACTION, logits.shape[1])
            # the first of exponential clocks with the policy's rates to ring is a draw from its probabilities
            logits = logits - np.log(-np.log1p(-drawn) + TINY)
        chosen = np.zeros(state.n_env, dtype=np.int64)
        chosen[rows] = logits.argmax(axis=1)
        return actions.attack(chosen), memory


@lru_cache(maxsize=16)
def _view(system: System, series: TimeSeries) -> VectorObservation:
    """What the agent ``opponent_0`` sees, which is the same whatever the zones see: they get as little as possible."""
    return VectorObservation(system, series, attributes=("time_of_day",))


@dataclass(frozen=True)
class WorstCaseAgainst(WorstCaseOpponent):
    """The worst-case attacker that plays each attack ahead with the zones doing what their actual team would do.

    In the first step the team answers to the grid that it sees, not knowing of the attack; from then on to what it sees
    of the played-out grid. A team with a memory is asked as at the start of an episode.
    """

    team: Agent | None = None
    task: Task | None = None

    def bind_task(self, task: Task) -> WorstCaseAgainst:
        """The same attacker with the spaces and observations of a task."""
        return replace(self, task=task)

    def answers(self, system: System, state: State) -> Action:
        if self.team is None or self.task is None:
            raise RuntimeError("this attacker needs a team and a task: call bind_task first")
        task = self.task
        episode = Episode(state, (), zero_totals(state.n_env, system.n_zone))
        memory = self.team.initial_memory(task, state.n_env)
        choices, _ = self.team.act(task, episode, task.look(episode), memory)
        return task.actions.joint([choices[zone] for zone in task.zones])


class Mixture(NamedTuple):
    """Memory of ``MixedOpponent``."""

    whose: tuple[np.ndarray, ...]
    """By member, (n_env,) bool: the episodes that have it."""
    memories: tuple[Any, ...]
    """One per member, each kept for all episodes."""


@dataclass(frozen=True)
class MixedOpponent:
    """One of several attackers in each episode, drawn from the episode's seed in proportion to ``weights``.

    Raises ValueError for weights that are no weights.
    """

    members: tuple[Opponent, ...]
    weights: tuple[float, ...] = ()
    """One per member, not negative, of any sum above 0; empty for equal ones."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "weights", shares(len(self.members), self.weights))

    def bind(self, series: TimeSeries, solver: PowerFlow) -> MixedOpponent:
        """The same mixture on a task's time series and power flow."""
        bound = (m.bind(series, solver) if hasattr(m, "bind") else m for m in self.members)
        return replace(self, members=tuple(bound))

    def bind_task(self, task: Task) -> MixedOpponent:
        """The same mixture with what a whole task tells."""
        bound = (m.bind_task(task) if hasattr(m, "bind_task") else m for m in self.members)
        return replace(self, members=tuple(bound))

    def reset(self, system: System, state: State) -> Mixture:
        memories = tuple(member.reset(system, state) for member in self.members)
        return Mixture(tuple(drawn_members(state, self.weights, STREAM_MEMBER)), memories)

    @cached_property
    def _attacking(self) -> list[tuple[int, Opponent]]:
        """The members that do something."""
        return [(k, member) for k, member in enumerate(self.members) if not isinstance(member, NoOpponent)]

    def attack(self, system: System, state: State, memory: Mixture) -> tuple[Attack, Mixture]:
        attacks, following = [], list(memory.memories)
        for k, member in self._attacking:
            own, following[k] = _attack_of(member, system, state, following[k], memory.whose[k])
            if own is not None:
                attacks.append(own)
        attack = reduce(_joined, attacks) if attacks else no_attack(state.n_env, system.grid.n_line)
        return attack, Mixture(memory.whose, tuple(following))


def _attack_of(
    member: Opponent, system: System, state: State, memory: Any, mine: np.ndarray
) -> tuple[Attack | None, Any]:
    """The member's attack in the environments ``mine`` (n_env,) bool (None: nothing anywhere), and its memory."""
    among: Callable[..., tuple[Attack, Any]] | None = getattr(member, "attack_among", None)
    if among is not None:
        return among(system, state, memory, mine)
    # who looks ahead, and waits for nothing, is asked where the rules let an attack begin
    looks_ahead = hasattr(member, "bind") and memory == ()
    rows = np.flatnonzero(mine & (state.attack.cooldown == 0) & state.running if looks_ahead else mine)
    if len(rows) == 0:
        return None, memory
    if len(rows) == state.n_env:
        return member.attack(system, state, memory)
    attack, after = member.attack(system, take(state, rows), take(memory, rows))
    return _spread(attack, rows, state.n_env), put(memory, rows, after)


def _spread(attack: Attack, rows: np.ndarray, n_env: int) -> Attack:
    """The attacks of some episodes among all of them."""

    def whole(part: np.ndarray) -> np.ndarray:
        among_all = np.zeros((n_env, *part.shape[1:]), part.dtype)
        among_all[rows] = part
        return among_all

    return Attack(whole(attack.duration), attack.subs and SubstationAttack(*map(whole, attack.subs)))


def _joined(one: Attack, other: Attack) -> Attack:
    """Two attacks that are never in the same environment."""
    duration = one.duration + other.duration
    if one.subs is None or other.subs is None:
        return Attack(duration, one.subs or other.subs)
    return Attack(duration, SubstationAttack(*map(np.add, one.subs, other.subs)))


def shares(n: int, weights: Sequence[float]) -> tuple[float, ...]:
    """Weights of ``n`` members as parts of 1; no weights are equal ones. Raises ValueError for what are none."""
    given = np.array(weights if len(weights) else [1.0] * n, dtype=np.float64)
    if n == 0 or len(given) != n or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise ValueError(
            f"weights are {tuple(weights)} for {n} member(s): give one number from 0 on for each, not all of them 0"
        )
    return tuple((given / given.sum()).tolist())


def drawn_members(state: State, weights: tuple[float, ...], stream: int) -> np.ndarray:
    """(n_member, n_env) bool: which member of a mixture an episode has, by its seed, the same at all of its steps."""
    whose = np.zeros((len(weights), state.n_env), dtype=np.bool_)
    _draw_members(state.seed, stream, _ends(weights), whose)
    return whose


@lru_cache(maxsize=16)
def _ends(weights: tuple[float, ...]) -> np.ndarray:
    """(n,) where the part of each member ends; the last one has all that is left, whatever was lost in rounding."""
    ends = np.cumsum(weights)
    ends[-1] = np.inf
    return ends


def attacker_from(text: str | Path) -> Opponent:
    """An attacker by the name of a scripted one, by the folder of a checkpoint, or a mixture of such.

    ``worst-case@greedy`` (or any team that ``agent_from`` takes after the @) is ``WorstCaseAgainst`` that team.
    A mixture is written ``random+runs/x/checkpoint`` or, with weights, ``0.5*none+0.2*random+0.3*runs/x/checkpoint``.
    Raises ValueError for what is neither a name nor a folder.
    """
    weights, names = weighted_parts(str(text))
    if len(names) > 1:
        return MixedOpponent(tuple(attacker_from(name) for name in names), weights)
    kind, against, team = str(text).partition("@")
    if against and kind == "worst-case":
        return WorstCaseAgainst(team=agent_from(team))
    if str(text) in OPPONENTS or str(text) == OWN:
        return opponent_from(str(text))
    if not Path(text).is_dir():
        raise ValueError(
            f"{str(text)!r} is no attacker: give one of {[*sorted(OPPONENTS), OWN]}, worst-case@<team>, the folder of "
            "a checkpoint, or several of them joined by +"
        )
    return LearnedOpponent.load(text)


def weighted_parts(text: str) -> tuple[list[float], list[str]]:
    """Weights and names of a mixture: ``0.3*a+b`` is ([0.3, 1.0], ["a", "b"]). Raises ValueError for other weights."""
    weights, names = [], []
    for part in text.split("+"):
        weight, star, name = part.rpartition("*")
        try:
            weights.append(float(weight) if star else 1.0)
        except ValueError:
            raise ValueError(f"{part!r} in {text!r}: what stands before the * must be a number") from None
        names.append(name)
    return weights, names


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _draw_members(seed, stream, ends, whose):  # pragma: no cover
    for e in range(len(seed)):
        drawn, member = one_uniform(seed[e], 0, stream), 0
        while drawn >= ends[member]:
            member += 1
        whose[member, e] = True
