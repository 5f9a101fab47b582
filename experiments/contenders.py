"""What the speed comparison times: marlgrid's environments and their nearest relatives, all stepped the same way.

A contender plays for a given time and counts its steps. Only stepping is timed; choosing actions and starting episodes
are not. Seconds are CPU seconds of this process, so what else a machine does matters little.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import process_time
from typing import Any, Protocol

import numpy as np

import marlgrid
from marlgrid.model.system import System
from marlgrid.simulation.action import Action, Commands, Kind
from marlgrid.simulation.forecast import simulate
from marlgrid.simulation.rules import legal
from marlgrid.simulation.state import State, take
from marlgrid.task.task import Task

GRID2OP_NAME = "Grid2Op {version} + LightSimBackend, GymEnv"


class Contender(Protocol):
    """One of the sides of a comparison."""

    name: str

    def play(self, seconds: float) -> float:
        """Plays on for that time of stepping, and gives the steps per second."""


class Parallel:
    """A PettingZoo environment: every zone, and the opponent if it is an agent; masks, rewards and infos on.

    ``actions``: "do-nothing", or "random-legal" (each agent draws from its mask, the opponent too).
    """

    def __init__(self, case: Any, actions: str = "do-nothing", seed: int = 0, **options: Any) -> None:
        self.env = marlgrid.parallel_env(case, **options)
        self.name = f"marlgrid, {len(self.env.possible_agents)} agents, {actions}"
        self._random = actions == "random-legal"
        self._rng = np.random.default_rng(seed)
        self._episodes = 0
        self._reset()

    def play(self, seconds: float) -> float:
        return rate(self._step, seconds, self._actions)

    def _step(self, actions: dict[str, int]) -> None:
        *_, self._infos = self.env.step(actions)

    def _reset(self) -> None:
        scenarios = self.env.starts.series.splits["train"]
        scenario = scenarios[self._episodes % len(scenarios)]
        _, self._infos = self.env.reset(seed=self._episodes, options={"scenario": scenario})
        self._episodes += 1

    def _actions(self) -> dict[str, int]:
        if not self.env.agents:
            self._reset()
        if not self._random:
            return dict.fromkeys(self.env.agents, 0)
        masks = {agent: self._infos[agent]["action_mask"] for agent in self.env.agents}
        return {agent: int(self._rng.choice(np.flatnonzero(mask))) for agent, mask in masks.items()}


class Batch:
    """``n_envs`` environments at once, doing nothing; a step of all of them counts ``n_envs``."""

    def __init__(self, case: Any, n_envs: int = 64, **options: Any) -> None:
        self.env = marlgrid.vector_env(case, n_envs=n_envs, start="random", **options)
        self.name = f"marlgrid, batch of {n_envs}, {len(self.env.agents)} agent(s)"
        self._nothing = {agent: np.zeros(n_envs, dtype=np.int64) for agent in self.env.agents}
        self.env.reset(seed=0)

    def play(self, seconds: float) -> float:
        return rate(self.env.step, seconds, lambda: self._nothing) * self.env.n_envs


class Grid2OpGym:
    """Grid2Op on its fastest backend through its gymnasium interface: one agent, box observation.

    ``actions``: "do-nothing", or "random-legal": one action of the whole grid, drawn from ``N_DRAWN`` of our menu until
    Grid2Op's rules accept it.
    """

    N_DRAWN = 500

    def __init__(self, case: str, actions: str = "do-nothing", seed: int = 0) -> None:
        import grid2op
        from grid2op.gym_compat import BoxGymObsSpace, DiscreteActSpace, GymEnv

        self._rng = np.random.default_rng(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = grid2op_env(case)
            self._n_scenario = training_scenarios(case)
            self._actions = [env.action_space()]
            if actions == "random-legal":
                self._actions += menu_in_grid2op(env, case, self.N_DRAWN, self._rng)
            self.env = GymEnv(env)
            self._playing = self.env.init_env
            self.env.observation_space = BoxGymObsSpace(env.observation_space)
            self.env.action_space = DiscreteActSpace(env.action_space, action_list=self._actions)
        self.name = f"{GRID2OP_NAME.format(version=grid2op.__version__)}, {actions}"
        self._episodes = 0
        self._reset()

    def play(self, seconds: float) -> float:
        return rate(self._step, seconds, self._choice)

    def _choice(self) -> int:
        """What is played next, in an episode that is not over; 0 is nothing."""
        if self._over:
            self._reset()
        if len(self._actions) == 1:
            return 0
        while True:
            chosen = int(self._rng.integers(len(self._actions)))
            if self._playing._game_rules(self._actions[chosen], self._playing)[0]:  # noqa: SLF001 (nothing else says)
                return chosen

    def _step(self, action: int) -> None:
        _, _, terminated, truncated, _ = self.env.step(action)
        self._over = terminated or truncated

    def _reset(self) -> None:
        self.env.reset(options={"time serie id": self._episodes % self._n_scenario})
        self._episodes += 1
        self._over = False


class CppEnv:
    """lightsim2grid's environment in C++: one agent, topology only, no dispatch, no opponent, no other agents."""

    name = "lightsim2grid LightEnv (C++)"

    def __init__(self, case: str) -> None:
        from lightsim2grid.lightEnv import LightEnv, Protections

        env = grid2op_env(case)
        env.reset(options={"time serie id": 0})
        data = env.chronics_handler.real_data.data
        n_row = len(data.load_p)
        voltage = env.backend.prod_pu_to_kv
        gen_v = np.full((n_row, env.n_gen), np.nan) if data.prod_v is None else data.prod_v / voltage
        self.env = LightEnv(env.backend._grid)  # noqa: SLF001 (it is made of nothing else)
        self.env.assign_time_series(
            *(np.ascontiguousarray(table, dtype=float) for table in (data.load_p, data.load_q, data.prod_p, gen_v)),
            *(np.full((n_row, width), np.nan) for width in (env.n_storage, env.n_shunt, env.n_shunt, 0, 0)),
        )
        protections = Protections()
        limit = env.get_thermal_limit().astype(float) / 1000
        protections.set_thermal_limit_or(limit)
        # Grid2Op's rules look at the origin alone.
        protections.set_thermal_limit_ex(np.full(env.n_line, 1e9))
        allowed = env.parameters.NB_TIMESTEP_OVERFLOW_ALLOWED
        protections.set_max_line_time_step_overflow(np.full(env.n_line, allowed, dtype=np.int32))
        self.env.protections = protections
        self._over = True

    def play(self, seconds: float) -> float:
        return rate(self._step, seconds, self._running)

    def _running(self) -> int:
        if self._over:
            self.env.reset()
            self._over = False
        return 0

    def _step(self, action: int) -> None:
        _, _, done, truncated, _ = self.env.step(action)
        self._over = done or truncated


class WhatIf:
    """Candidate actions tried out on the forecast from one state: ours, all in one call."""

    def __init__(self, case: Any, n_candidate: int = 200, **options: Any) -> None:
        self.env = marlgrid.parallel_env(case, **options)
        self.env.reset(seed=0, options={"scenario": 0})
        self.env.step(dict.fromkeys(self.env.agents, 0))
        task, state = self.env.task, self.env.snapshot().state
        self.chosen = candidates(task, state, n_candidate)
        self.commands = task.actions.table.commands
        self.first, self.last = (task.actions.table.start[self.chosen + k] for k in (0, 1))
        self._state = take(state, np.zeros(n_candidate, dtype=np.int64))
        zone = task.actions.table.zone[self.chosen]
        first = np.zeros((n_candidate, task.system.n_zone), dtype=np.int32)
        last = first.copy()
        first[np.arange(n_candidate), zone], last[np.arange(n_candidate), zone] = self.first, self.last
        self._action = Action(self.commands, first, last)
        self.name = f"marlgrid, {n_candidate} candidates in a batch"

    def play(self, seconds: float) -> float:
        return rate(self.outcomes, seconds) * len(self.chosen)

    def outcomes(self, _: Any = None) -> State:
        """What each candidate leads to."""
        task = self.env.task
        return simulate(task.system, task.foreseeing, task.series, self._state, self._action)[0]


class Grid2OpWhatIf:
    """The same candidates, one after the other by ``obs.simulate``."""

    name = "Grid2Op, loop over obs.simulate"

    def __init__(self, case: str, ours: WhatIf) -> None:
        env = grid2op_env(case)
        env.reset(options={"time serie id": 0})
        self._obs, *_ = env.step(env.action_space())
        self._env = env
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._actions = [
                grid2op_action(env, ours.env.task.system, ours.commands, first, last)
                for first, last in zip(ours.first, ours.last, strict=True)
            ]

    def play(self, seconds: float) -> float:
        return rate(self.outcomes, seconds) * len(self._actions)

    def outcomes(self, _: Any = None) -> list[Any]:
        """What each candidate leads to: Grid2Op's (observation, reward, done, info)."""
        return [self._obs.simulate(action) for action in self._actions]


def candidates(task: Task, state: State, n: int) -> np.ndarray:
    """(n,) legal entries of the zones' tables of topology and line actions, evenly chosen; repeated if too few."""
    table = task.actions.table
    allowed = legal(task.system, state, table.commands, table.start, table.zone)[0]
    first = table.commands.kind[np.minimum(table.start[:-1], len(table.commands.kind) - 1)]
    allowed &= (np.diff(table.start) > 0) & np.isin(first, (Kind.SET_LINE_STATUS, Kind.SET_BUS))
    found = np.flatnonzero(allowed)
    return found[np.linspace(0, len(found) - 1, n).round().astype(int)] if len(found) >= n else np.resize(found, n)


def menu_in_grid2op(env: Any, case: str, n: int, rng: np.random.Generator) -> list[Any]:
    """``n`` entries of the default menu of the whole grid, drawn evenly, as actions of Grid2Op."""
    task = marlgrid.parallel_env(case, zones=1).task
    table = task.actions.table
    chosen = rng.choice(np.flatnonzero(np.diff(table.start) > 0), n)
    return [
        grid2op_action(env, task.system, table.commands, table.start[entry], table.start[entry + 1]) for entry in chosen
    ]


def grid2op_action(env: Any, system: System, commands: Commands, first: int, last: int) -> Any:
    """Some of the commands (of line status, busbars and dispatch) as an action of Grid2Op."""
    grid = system.grid
    blank = {
        Kind.SET_LINE_STATUS: ("set_line_status", np.zeros(grid.n_line, dtype=np.int32)),
        Kind.SET_BUS: ("set_bus", np.zeros(grid.dim_topo, dtype=np.int32)),
        Kind.REDISPATCH: ("redispatch", np.zeros(grid.n_gen, dtype=np.float32)),
        Kind.CURTAIL: ("curtail", np.full(grid.n_gen, -1.0, dtype=np.float32)),
        Kind.SET_STORAGE: ("set_storage", np.zeros(grid.n_storage, dtype=np.float32)),
    }
    asked = {}
    for at in range(first, last):
        key, values = blank[Kind(int(commands.kind[at]))]
        values[commands.index[at]] = commands.value[at]
        asked[key] = values
    return env.action_space(asked)


def grid2op_env(case: str) -> Any:
    """Grid2Op's environment of a folder or shipped name, without its opponent and with all its actions."""
    import grid2op
    from grid2op.Action import PlayableAction
    from grid2op.Opponent import BaseOpponent
    from lightsim2grid import LightSimBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return grid2op.make(
            case, test=True, backend=LightSimBackend(), opponent_class=BaseOpponent, action_class=PlayableAction
        )


def training_scenarios(case: str) -> int:
    """How many scenarios our training split of a folder has: they are Grid2Op's first ones."""
    return len(marlgrid.load_case(case).series.splits["train"])


def rate(act: Callable[[Any], Any], seconds: float, prepare: Callable[[], Any] = lambda: None) -> float:
    """Calls of ``act`` per second of its own time; what ``prepare`` makes ready for each call is not timed."""
    calls, spent = 0, 0.0
    while spent < seconds:
        prepared = prepare()
        begun = process_time()
        act(prepared)
        spent += process_time() - begun
        calls += 1
    return calls / spent
