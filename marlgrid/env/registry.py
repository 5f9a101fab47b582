"""Environments out of a case and what users ask for: the front door."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pettingzoo import AECEnv
from pettingzoo.utils import parallel_to_aec, wrappers

from marlgrid.env.first_run import compile_kernels
from marlgrid.env.masks import MaskPlace
from marlgrid.env.options import ActionSpec, ObservationSpec, actions_from, observation_from
from marlgrid.env.parallel import GridParallelEnv
from marlgrid.env.single import GridEnv
from marlgrid.env.start import Starts
from marlgrid.env.vector import GridVectorEnv
from marlgrid.model.attention import AttentionRules
from marlgrid.model.datasets.builtin import BUILTIN_CASES
from marlgrid.model.datasets.case import load_case
from marlgrid.model.parameters import AttackRules, Parameters
from marlgrid.model.rule_set import RuleSpec
from marlgrid.model.system import System
from marlgrid.model.time_series import TimeSeries
from marlgrid.model.zones import ZoneSpec
from marlgrid.powerflow import power_flow as solver_from
from marlgrid.powerflow.base import PowerFlow
from marlgrid.task.opponents import OpponentSpec, opponent_from
from marlgrid.task.reward import reward_from
from marlgrid.task.reward_values import RewardFn
from marlgrid.task.task import Task

CaseSpec = str | Path | tuple[System, TimeSeries] | Any
"""Any: a pandapower network, a type that is not imported just to be named."""


def cases() -> tuple[str, ...]:
    """Names of the built-in cases."""
    return BUILTIN_CASES


def make_task(
    case: CaseSpec = "case14",
    *,
    zones: ZoneSpec | None = None,
    tie_lines: str | None = None,
    opponent: OpponentSpec = None,
    actions: ActionSpec = "discrete",
    observation: ObservationSpec = "local",
    pad: bool = False,
    masks: bool = True,
    reward: str | RewardFn | Mapping[Any, float] = "survival",
    opponent_reward: str | RewardFn | Mapping[Any, float] | None = None,
    parameters: Parameters | Mapping[str, Any] | None = None,
    attack: AttackRules | Mapping[str, Any] | None = None,
    rules: RuleSpec | None = None,
    attention: AttentionRules | Mapping[str, Any] | None = None,
    difficulty: str = "default",
    power_flow: str | PowerFlow | None = None,
    n_busbar: int = 2,
    split: str = "train",
) -> Task:
    """What is learnt, without an episode: every kind of environment is a shell around it.

    Args:
        case: a built-in name (``case5``, ``case14``, ``case118``), a Grid2Op environment folder or the name of one that
            grid2op ships, a pandapower network, or ``(System, TimeSeries)``.
        zones: a number (automatic partition), lists or a dict of substations, a function ``Grid -> labels``,
            ``"substation"``; None takes the zones of the case.
        tie_lines: who may switch a line between two zones: ``"both"``, the ``"origin"`` zone, ``"none"``; None is
            both, or what the zones of a pair say.
        opponent: None; the name of an attacker (``"random"``, ``"weighted"``, ``"geometric"``, ``"multi-area"``,
            ``"worst-case"``, ``"case"`` for the data set's own), or a dict of its name and settings, see
            docs/opponents.md; an ``Opponent``; or ``"agent"``: then ``opponent_0`` is one of the agents.
        actions: ``"discrete"``, ``"multi_discrete"``, ``"box"``, ``"dict"``; a dict ``{"space", "kinds", ...}`` with
            settings of ``Menu``; a dict of lists by zone; a ``ZoneActions`` or a function ``System -> ZoneActions``.
        observation: ``"local"``, ``"neighbourhood"``, ``"global"``; a dict of settings of ``VectorObservation``; an
            ``ObservationFn`` or a function ``(System, TimeSeries) -> ObservationFn``.
        pad: fills observations and discrete actions up, so that all zones have equal spaces.
        masks: whether action masks are computed.
        reward: a name (``"survival"``, ``"LinesCapacityReward"``, ``"L2RPNReward"``, ``"RedispReward"``, ...), a
            function ``(system, before, action, ruling, after) -> (n_env, n_zone)``, or a dict of them to weights.
        opponent_reward: likewise for the opponent agent; None is the negative mean of the zones'.
        parameters: ``Parameters``, or a dict of changes to the case's.
        attack: ``AttackRules``, or a dict of changes to the case's.
        rules: ``"default"``, ``"always-legal"``, ``"by-area"``, a function (or several) that refuses further,
            ``(system, state, zone, commands) -> bool``, or a dict of settings of ``RuleSet``; None takes
            the rules of the case.
        attention: ``AttentionRules`` (alarms and alerts), or a dict of changes to the case's.
        difficulty: ``"easy"``, ``"default"``, ``"hard"``, or a level of the Grid2Op folder.
        power_flow: ``"newton"`` (compiled), ``"lightsim"``, ``"pandapower"``, ``"dc"``, or an object with ``solve``;
            None is ``"dc"`` where the parameter ``env_dc`` says so, else ``"newton"``.
        n_busbar: busbars per substation.
        split: the scenarios that episodes are drawn from: ``"train"``, ``"validation"``, ``"test"``.

    Raises:
        ValueError, TypeError, KeyError, FileNotFoundError: what was given, what is allowed.
    """
    compile_kernels()
    system, series = load_case(
        case,
        zones=zones,
        tie_lines=tie_lines,
        parameters=parameters,
        difficulty=difficulty,
        n_busbar=n_busbar,
        attack=attack,
        rules=rules,
        attention=attention,
    )
    agent = isinstance(opponent, str) and opponent == "agent"
    if opponent_reward is not None and not agent:
        raise ValueError(f"opponent_reward is for opponent='agent' only, but opponent is {opponent!r}")
    solver = _power_flow(power_flow, system.parameters)
    return Task(
        system=system,
        series=series,
        solver=solver_from(solver, system.grid),
        forecast_solver=None if system.forecast_grid is None else solver_from(solver, system.forecast_grid),
        actions=actions_from(actions, system, pad),
        observation=observation_from(observation, system, series, pad, agent),
        reward=reward_from(reward),
        opponent=None if opponent is None or agent else opponent_from(opponent, system),
        opponent_agent=agent,
        opponent_reward=None if opponent_reward is None else reward_from(opponent_reward),
        masks=masks,
        split=split,
    )


def _power_flow(spec: str | PowerFlow | None, parameters: Parameters) -> str | PowerFlow:
    """The power flow that was asked for, else the one that the parameters say."""
    if parameters.env_dc and spec not in (None, "dc") and isinstance(spec, str):
        raise ValueError(f"power_flow is {spec!r}, but the parameter env_dc asks for 'dc': leave one of them out")
    if spec is None:
        return "dc" if parameters.env_dc else "newton"
    return spec


def parallel_env(
    case: CaseSpec | Task = "case14",
    *,
    mask: MaskPlace = "info",
    render_mode: str | None = None,
    max_steps: int | None = None,
    max_cycles: int | None = None,
    seed: int | None = None,
    split: str = "train",
    scenario: int | None = None,
    start: int | str = 0,
    n_scenarios: int | None = None,
    **task: Any,
) -> GridParallelEnv:
    """A PettingZoo ``ParallelEnv``.

    Args:
        case: see ``make_task``; or a ``Task``.
        mask: where action masks go: ``"info"`` (``infos[agent]["action_mask"]``), ``"observation"``, ``"both"``, None.
        render_mode: None, ``"rgb_array"``, ``"ansi"``, ``"human"``.
        max_steps: time limit of an episode; None runs to the end of the scenario.
        max_cycles: PettingZoo's word for ``max_steps``.
        seed: what the episodes follow from until a reset is given a seed; None: different ones in each run.
        split: scenarios that episodes are drawn from: ``"train"``, ``"validation"``, ``"test"``.
        scenario: one scenario for all episodes.
        start: row of the scenario at which episodes start, or ``"random"``.
        n_scenarios: scenarios that are drawn from at most, from the first of the split on; None: all. To generate a
            week takes about as long as to play a hundred steps: where agents lose the grid at once, most of the time
            is saved with some hundred weeks that come back, which stay in memory.
        **task: further arguments of ``make_task``: zones, opponent, actions, observation, reward, ...
    """
    made = _task(case, mask is not None, split, task)
    starts = Starts(made.series, split, scenario, start, _limit(max_steps, max_cycles), n_scenarios)
    return GridParallelEnv(made, starts, mask=mask, render_mode=render_mode, seed=seed)


make = parallel_env


def raw_env(*args: Any, **kwargs: Any) -> AECEnv[str, Any, Any]:
    """The same environment for PettingZoo's agent-by-agent API; arguments of ``parallel_env``."""
    return parallel_to_aec(parallel_env(*args, **kwargs))


def env(*args: Any, **kwargs: Any) -> AECEnv[str, Any, Any]:
    """``raw_env`` that checks the order of calls."""
    return wrappers.OrderEnforcingWrapper(raw_env(*args, **kwargs))


def vector_env(
    case: CaseSpec | Task = "case14",
    *,
    n_envs: int = 16,
    mask: MaskPlace = "info",
    max_steps: int | None = None,
    seed: int | None = None,
    split: str = "train",
    scenario: int | None = None,
    start: int | str = 0,
    n_scenarios: int | None = None,
    act_above: float = 0.0,
    **task: Any,
) -> GridVectorEnv:
    """``n_envs`` episodes stepped at once, with auto-reset; other arguments as for ``parallel_env``.

    ``act_above`` is the line loading from which on the zones are asked, see ``GridVectorEnv``.
    """
    made = _task(case, mask is not None, split, task)
    starts = Starts(made.series, split, scenario, start, max_steps, n_scenarios)
    return GridVectorEnv(made, n_envs, starts, mask=mask, seed=seed, act_above=act_above)


def gym_env(case: Any = "case14", **arguments: Any) -> GridEnv:
    """A ``gymnasium.Env`` in which one agent runs the whole grid; arguments of ``parallel_env`` but ``zones``."""
    if arguments.setdefault("zones", 1) != 1:
        raise ValueError(f"gym_env is for one agent: zones is {arguments['zones']!r}, leave it out or give 1")
    if isinstance(arguments.get("opponent"), str) and arguments["opponent"] == "agent":
        raise ValueError("gym_env is for one agent: opponent='agent' is another; choose a scripted attacker")
    return GridEnv(parallel_env(case, **arguments))


def _task(case: Any, masks: bool, split: str, arguments: dict[str, Any]) -> Task:
    if not isinstance(case, Task):
        return make_task(case, masks=masks, split=split, **arguments)
    if arguments:
        raise ValueError(f"a Task is complete: {sorted(arguments)} cannot be changed here, give them to make_task")
    return case


def _limit(max_steps: int | None, max_cycles: int | None) -> int | None:
    if max_steps is not None and max_cycles is not None and max_steps != max_cycles:
        raise ValueError(f"max_steps ({max_steps}) and max_cycles ({max_cycles}) are the same thing: give one of them")
    return max_cycles if max_steps is None else max_steps
