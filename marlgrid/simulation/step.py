"""The decision process: how an episode starts, and one step of it, as the list of its stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from marlgrid.model.rule_set import RuleSet
from marlgrid.model.system import System
from marlgrid.model.time_series import Injections, TimeSeries
from marlgrid.model.zones import make_zones
from marlgrid.powerflow.base import PowerFlow, zero_flow
from marlgrid.simulation import attention, commitment, dispatch, protections, rules, substations, topology
from marlgrid.simulation.action import Action, Attack, do_nothing, no_attack
from marlgrid.simulation.judge import Reason
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Attacked, AttackState, Counters, Dispatch, Outcome, State, Topology, put, take


def step(
    system: System, solver: PowerFlow, series: TimeSeries, state: State, action: Action, attack: Attack
) -> tuple[State, Ruling]:
    """The next state and what became of action and attack. Episodes that are over stay as they are."""
    running = state.running
    if running.all():
        return advance(system, solver, state, series.at(state.scenario, state.t + 1), action, attack)
    rows = np.flatnonzero(running)
    ruling = _no_ruling(system, state)
    if len(rows) == 0:
        return state, ruling
    part = take(state, rows)
    some = Action(action.commands, action.first[rows], action.last[rows])
    injections = series.at(part.scenario, part.t + 1)
    after, some_ruling = advance(system, solver, part, injections, some, attack.rows(rows))
    for whole, new in zip(ruling, some_ruling, strict=True):
        whole[rows] = new
    return put(state, rows, after), ruling


def advance(
    system: System, solver: PowerFlow, state: State, injections: Injections, action: Action, attack: Attack
) -> tuple[State, Ruling]:
    """One step of a batch of running episodes under given injections."""
    before, ruling = state, rules.enforce(system, state, action, attack, injections.gen_p)
    state = state._replace(injections=injections, t=state.t + 1)
    state = substations.hold(system, state, attack, ruling.attacked, ruling.attack_refused)
    state = topology.switch(system, state, action, ruling, injections)
    state = dispatch.schedule(system, state, action, ruling, injections)
    state, ruling = commitment.start_and_stop(system, before, state, action, ruling)
    state = protections.solve(system, solver, state)
    state = topology.settle(system, state)
    state = _end(rules.tick(system, state, ruling))
    state = attention.register(system, state, action, ruling)
    return state, _charge(state, action, ruling)


def initial(
    system: System,
    solver: PowerFlow,
    series: TimeSeries,
    seed: np.ndarray,
    scenario: np.ndarray,
    t_start: np.ndarray,
    t_end: np.ndarray,
    opening: Action | None = None,
    thermal_limit: np.ndarray | None = None,
) -> State:
    """The first states: row ``t_start`` of each scenario on the grid's start topology, all counters zero.

    Lines in maintenance are out; only the hard threshold trips lines, and what tripped may be reconnected at once.
    ``opening`` is an action that is played as part of the start, exempt from the rules; ``thermal_limit`` (n_env,
    n_line) in A are the limits of the episodes, by default the grid's. Raises ValueError for an opening that
    contradicts itself or is out of range.
    """
    seed, scenario = np.asarray(seed, dtype=np.int64), np.asarray(scenario, dtype=np.int64)
    t_start, t_end = np.asarray(t_start, dtype=np.int32), np.asarray(t_end, dtype=np.int32)
    injections = series.at(scenario, t_start)
    state = _blank(system, injections, seed, scenario, t_start, t_end)
    if thermal_limit is not None:
        state = state._replace(thermal_limit=np.array(thermal_limit, dtype=np.float64))
    if opening is None:
        opening = do_nothing(len(seed), system.n_zone)
    else:
        _check_opening(system, state, opening)
    ruling = _no_ruling(system, state)
    state = topology.switch(system, state, opening, ruling, injections)
    state = dispatch.schedule(system, state, opening, ruling, injections)
    state = protections.solve(system, solver, state, at_reset=True)
    state = state._replace(commitment=commitment.initial_commitment(state.flow.gen_p))
    return topology.settle(system, state)


def _check_opening(system: System, state: State, opening: Action) -> None:
    """Judges an opening as if all were one zone without rules: what is left are contradictions and ranges."""
    anyone = replace(system, zones=make_zones(system.grid, 1), rules=RuleSet(False, False, False))
    whole = Action(opening.commands, opening.first[:, :1], opening.last[:, :1])
    reason = rules.enforce(anyone, state, whole, no_attack(state.n_env, system.grid.n_line)).reason[:, 0]
    if reason.any():
        raise ValueError(
            f"the initial state cannot be set: {Reason(int(reason[reason > 0][0])).name}; change init_state, or the "
            "scenario's (init_state.json)"
        )


def _blank(
    system: System,
    injections: Injections,
    seed: np.ndarray,
    scenario: np.ndarray,
    t_start: np.ndarray,
    t_end: np.ndarray,
) -> State:
    """A state before its first power flow."""
    grid, n_env = system.grid, len(seed)

    def zeros(n: int, dtype: type = np.float64) -> np.ndarray:
        return np.zeros((n_env, n), dtype=dtype)

    flat = system.parameters.ignore_initial_state_time_serie
    start = np.broadcast_to(1 if flat else grid.start_topo_vect, (n_env, grid.dim_topo)).astype(np.int32)
    charge = system.parameters.init_storage_capacity * grid.storage_emax
    if system.parameters.activate_storage_loss:
        # the first schedule takes one step's losses, so the first observation shows exactly the initial charge
        charge = charge + grid.storage_loss * system.delta_time / 60
    return State(
        seed=seed,
        scenario=scenario,
        t=t_start.copy(),
        t_start=t_start,
        t_end=t_end,
        outcome=np.full(n_env, Outcome.RUNNING, dtype=np.int8),
        injections=injections,
        topology=Topology(start, np.maximum(start, 1), np.ones((n_env, grid.n_shunt), dtype=np.int32)),
        counters=Counters(
            zeros(grid.n_line, np.int32),
            zeros(grid.n_sub, np.int32),
            zeros(grid.n_line, np.int32),
            zeros(grid.n_line, np.int32),
        ),
        dispatch=Dispatch(
            target=zeros(grid.n_gen),
            modified=zeros(grid.n_gen, np.bool_),
            actual=zeros(grid.n_gen),
            scheduled_p=injections.gen_p.astype(np.float64),
            setpoint=injections.gen_p.astype(np.float64),
            p_before_curtail=zeros(grid.n_gen),
            curtailment_limit=np.ones((n_env, grid.n_gen)),
            curtailment_limit_effective=np.ones((n_env, grid.n_gen)),
            curtailed=np.zeros(n_env),
            storage_charge=np.broadcast_to(charge, (n_env, grid.n_storage)).astype(np.float64),
            storage_power_target=zeros(grid.n_storage),
            storage_power=zeros(grid.n_storage),
        ),
        commitment=commitment.initial_commitment(injections.gen_p),
        attack=AttackState(
            remaining=zeros(grid.n_line, np.int32),
            cooldown=np.zeros(n_env, dtype=np.int32),
            budget=np.full(n_env, system.attack.initial_budget),
            starts=np.zeros(n_env, dtype=np.int32),
        ),
        alarm=attention.blank_alarms(system, n_env),
        alert=attention.blank_alerts(system, n_env),
        attacked=Attacked(
            line=zeros(grid.n_line, np.int32),
            sub=zeros(grid.n_sub, np.int32),
            bus=zeros(grid.dim_topo, np.int32),
            sub_started=np.zeros(n_env, dtype=np.bool_),
        ),
        flow=zero_flow(n_env, grid.n_line, grid.n_gen, grid.n_load, grid.n_storage, grid.n_shunt, grid.n_bus),
        disc_lines=np.full((n_env, grid.n_line), -1, dtype=np.int32),
        rho=zeros(grid.n_line),
        thermal_limit=np.broadcast_to(system.thermal_limit, (n_env, grid.n_line)).copy(),
    )


def _no_ruling(system: System, state: State) -> Ruling:
    """Nobody asked for anything; attacks go on."""
    n_env, grid = state.n_env, system.grid
    return Ruling(
        reason=np.zeros((n_env, system.n_zone), dtype=np.int8),
        accepted=np.ones((n_env, system.n_zone), dtype=np.bool_),
        attack_refused=np.zeros(n_env, dtype=np.bool_),
        attacked=state.attack.remaining.copy(),
        line_impacted=np.zeros((n_env, grid.n_line), dtype=np.bool_),
        sub_impacted=np.zeros((n_env, grid.n_sub), dtype=np.bool_),
    )


def _end(state: State) -> State:
    """Ends the episodes that reached their time limit."""
    over = state.running & (state.t >= state.t_end)
    return state._replace(outcome=np.where(over, np.int8(Outcome.TIME_LIMIT), state.outcome)) if over.any() else state


def _charge(state: State, action: Action, ruling: Ruling) -> Ruling:
    """Blames an infeasible dispatch on the zones that asked for dispatch in this step."""
    if not (state.outcome == Outcome.DISPATCH_INFEASIBLE).any():
        return ruling
    charged = dispatch.asked(action, ruling) & (state.outcome == Outcome.DISPATCH_INFEASIBLE)[:, None]
    return ruling._replace(reason=np.where(charged, np.int8(Reason.DISPATCH_INFEASIBLE), ruling.reason))
