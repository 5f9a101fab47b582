"""The decision process: how an episode starts, and one step of it, as the list of its stages."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from marlgrid.compiled import kernel_in_place, rule
from marlgrid.model.rule_set import RuleSet
from marlgrid.model.system import System
from marlgrid.model.tables import view_tables
from marlgrid.model.time_series import Injections, TimeSeries
from marlgrid.model.zones import make_zones
from marlgrid.powerflow.base import PowerFlow
from marlgrid.simulation import protections
from marlgrid.simulation.action import Action, Attack, Commands, SubstationAttack, do_nothing, no_attack
from marlgrid.simulation.attention import begin, register
from marlgrid.simulation.commitment import blame, note_running, start_and_stop
from marlgrid.simulation.dispatch import charge, schedule
from marlgrid.simulation.frame import FramedState, Memory, Ruling, view_frame
from marlgrid.simulation.own_rules import without
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.rules import enforce, judge, note_own, refused_by_own, tick
from marlgrid.simulation.state import Outcome, State, take
from marlgrid.simulation.substations import hold, price
from marlgrid.simulation.topology import name_islands, settle, switch

NO_SUBSTATION_ATTACK = SubstationAttack(np.zeros((0, 0), dtype=np.int32), np.zeros((0, 0), dtype=np.int32))


def step(
    system: System,
    solver: PowerFlow,
    series: TimeSeries,
    state: State,
    action: Action,
    attack: Attack,
    memory: Memory | None = None,
) -> tuple[FramedState, Ruling]:
    """The next state and what became of action and attack. Episodes that are over stay as they are.

    Both are written into ``memory`` if some is given (not that of ``state``), else into new one.
    """
    whole = _loaded(system, state, memory)
    following = np.empty(whole.n_env, dtype=np.int32)
    if _all_run(whole.block, following):
        fill(series, state.scenario, following, whole.state.injections)
    else:  # who is over is asked for nothing, and keeps the injections of the last step
        over = ~state.running
        action, attack = without(action, over[:, None]), attack.where(state.running)
        present = take(whole.state.injections, over)
        fill(series, state.scenario, following, whole.state.injections)
        for array, own in zip(whole.state.injections, present, strict=True):
            array[over] = own
    return _advanced(system, solver, state, whole, action, attack)


def advance(
    system: System, solver: PowerFlow, state: State, injections: Injections, action: Action, attack: Attack
) -> tuple[State, Ruling]:
    """One step under given injections, which are those of running episodes."""
    memory = _loaded(system, state, None)
    copy(injections, memory.state.injections)
    return _advanced(system, solver, state, memory, action, attack)


def _advanced(
    system: System, solver: PowerFlow, before: State, memory: Memory, action: Action, attack: Attack
) -> tuple[FramedState, Ruling]:
    decide(system, before, memory, action, attack)
    protections.solve(system, solver, memory, before)
    conclude(system, memory, action)
    return memory.framed(), memory.frame.ruling


def decide(system: System, before: State, memory: Memory, action: Action, attack: Attack) -> None:
    """First half of a step, in place: from what is asked to what is sent to the grid."""
    if system.rules.own:
        refused = refused_by_own(system, memory, action, attack)
        action = without(action, refused)
    subs = NO_SUBSTATION_ATTACK if attack.subs is None else attack.subs
    attacks = attack.duration, price(system, memory.state, attack), *subs
    asked = (*action.commands, action.first, action.last, *attacks)
    switched_too_soon = _decide(system.block, memory.block, *asked, False)
    if system.rules.own:
        note_own(memory, refused)
    if switched_too_soon:
        blame(system, before, memory, action)


def conclude(system: System, memory: Memory, action: Action, at_reset: bool = False) -> None:
    """Last part of a step, in place: what follows from the solved grid."""
    commands = action.commands
    if _conclude(system.block, memory.block, commands.kind, commands.index, action.first, action.last, at_reset):
        name_islands(system, memory)


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
    memory: Memory | None = None,
) -> FramedState:
    """The first states: row ``t_start`` of each scenario on the grid's start topology, all counters zero.

    Lines in maintenance are out; only the hard threshold trips lines, and what tripped may be reconnected at once.
    ``opening`` is an action that is played as part of the start, exempt from the rules; ``thermal_limit`` (n_env,
    n_line) in A are the limits of the episodes, by default the grid's. Raises ValueError for an opening that
    contradicts itself or is out of range. The states are written into ``memory`` if some is given.
    """
    n_env = len(seed)
    if memory is None or memory.n_env != n_env:
        memory = Memory(system, n_env)
    memory.repeat(_blank(system))
    state = memory.state
    state.seed[:], state.scenario[:] = seed, scenario
    state.t[:] = state.t_start[:] = t_start
    state.t_end[:] = t_end
    fill(series, state.scenario, state.t, state.injections)
    state.dispatch.scheduled_p[:] = state.dispatch.setpoint[:] = state.injections.gen_p
    if thermal_limit is not None:
        state.thermal_limit[:] = thermal_limit
    if opening is None:
        opening = do_nothing(n_env, system.n_zone)
    else:
        _check_opening(system, state, opening)
    peace = no_attack(n_env, system.grid.n_line)
    asked = (*opening.commands, opening.first, opening.last, peace.duration, price(system, state, peace))
    _decide(system.block, memory.block, *asked, *NO_SUBSTATION_ATTACK, True)
    protections.solve(system, solver, memory, state, at_reset=True)
    conclude(system, memory, opening, at_reset=True)
    return memory.framed()


def _check_opening(system: System, state: State, opening: Action) -> None:
    """Judges an opening as if all were one zone without rules: what is left are contradictions and ranges."""
    anyone = replace(system, zones=make_zones(system.grid, 1), rules=RuleSet(False, False, False))
    whole = Action(opening.commands, opening.first[:, :1], opening.last[:, :1])
    reason = enforce(anyone, state, whole, no_attack(state.n_env, system.grid.n_line)).reason[:, 0]
    if reason.any():
        raise ValueError(
            f"the initial state cannot be set: {Reason(int(reason[reason > 0][0])).name}; change init_state, or the "
            "scenario's (init_state.json)"
        )


@lru_cache(maxsize=4)
def _blank(system: System) -> Memory:
    """One state before its first row of the time series, when nobody has asked for anything. Not to be written to."""
    memory = Memory(system, 1)
    state = memory.state
    grid, topology, dispatch = system.grid, state.topology, state.dispatch
    topology.topo_vect[:] = 1 if system.parameters.ignore_initial_state_time_serie else grid.start_topo_vect
    topology.last_bus[:] = np.maximum(topology.topo_vect, 1)
    topology.shunt_bus[:] = 1
    dispatch.curtailment_limit[:] = dispatch.curtailment_limit_effective[:] = 1.0
    dispatch.storage_charge[:] = system.parameters.init_storage_capacity * grid.storage_emax
    if system.parameters.activate_storage_loss:
        # the first schedule takes one step's losses, so the first observation shows exactly the initial charge
        dispatch.storage_charge[:] += grid.storage_loss * system.delta_time / 60
    state.attack.budget[:] = system.attack.initial_budget
    state.thermal_limit[:] = system.thermal_limit
    begin(system, state)
    _nobody_asked(memory.block)
    return memory


def switched(system: System, state: State, action: Action) -> State:
    """The state with the topology after an action, without rules, attacks, outages and trips, and its outcome."""
    memory = _loaded(system, state, None)
    after = memory.state
    after.injections.time_next_maintenance[:] = -1
    after.injections.hazard_duration[:] = 0
    after.attacked.bus[:] = 0
    _nobody_asked(memory.block)
    memory.frame.ruling.attacked[:] = 0
    _switch_alone(system.block, memory.block, *action.commands, action.first, action.last)
    return state._replace(topology=after.topology, outcome=after.outcome)


def fill(series: TimeSeries, scenario: np.ndarray, t: np.ndarray, out: Injections) -> None:
    """Writes rows ``t`` of the series into ``out``; series that offer ``fill`` do it without making arrays."""
    direct = getattr(series, "fill", None)
    if direct is not None:
        direct(scenario, t, out)
    else:
        copy(series.at(scenario, t), out)


def copy(injections: Injections, out: Injections) -> None:
    """Writes all values of one into the other."""
    for given, array in zip(injections, out, strict=True):
        array[:] = given


def _loaded(system: System, state: State, memory: Memory | None) -> Memory:
    """Memory that holds the values of a state."""
    if memory is None or memory.n_env != state.n_env:
        memory = Memory(system, state.n_env)
    memory.load(state)
    return memory


# ---------------------------------------------------------------------------------------------------- kernels
@kernel_in_place
def _all_run(block, following):  # pragma: no cover
    """Writes the rows of the time series that come next."""
    running, state = True, view_frame(block).state
    for e in range(len(following)):
        running = running and state.outcome[e] == Outcome.RUNNING
        following[e] = state.t[e] + 1
    return running


@kernel_in_place
def _decide(  # pragma: no cover
    system, block, kind, index, value, first, last, duration, sub_price, sub_duration, sub_bus, at_reset
):
    """From what is asked to what goes to the grid: busbars, set points. True if a generator starts or stops too soon.

    One kernel for steps and starts, where nobody is judged and no time passes: what is in it is compiled once.
    """
    tables, frame, commands = view_tables(system), view_frame(block), Commands(kind, index, value)
    state = frame.state
    if not at_reset:
        judge(tables, frame, commands, first, last, duration, sub_price)
    for e in range(len(frame.ran)):
        frame.ran[e] = state.outcome[e] == Outcome.RUNNING
        state.t[e] += frame.ran[e] and not at_reset
    if not at_reset:
        hold(tables, frame, sub_duration, sub_bus)
    for e in range(len(frame.ran)):
        for l in range(len(tables.line)):
            frame.counted[e, l] = False
            state.disc_lines[e, l] = -1 if frame.ran[e] else state.disc_lines[e, l]
    switch(tables, frame, commands, first, last)
    schedule(tables, frame, commands, first, last)
    too_soon = start_and_stop(tables, frame)
    for e in range(len(frame.ran)):
        frame.pending[e] = state.outcome[e] == Outcome.RUNNING
        if frame.ran[e] and not frame.pending[e]:
            _clear(state.flow, e)
    return too_soon


@kernel_in_place
def _switch_alone(system, block, kind, index, value, first, last):  # pragma: no cover
    frame = view_frame(block)
    for e in range(len(frame.ran)):
        frame.ran[e] = frame.state.outcome[e] == Outcome.RUNNING
    switch(view_tables(system), frame, Commands(kind, index, value), first, last)
    settle(frame)


@kernel_in_place
def _conclude(system, block, kind, index, first, last, at_reset):  # pragma: no cover
    """True if some power flow has no solution: the reason is still to be named."""
    tables, frame = view_tables(system), view_frame(block)
    state = frame.state
    unsolved = False
    for e in range(len(frame.ran)):
        if not frame.ran[e]:
            continue
        if state.outcome[e] == Outcome.RUNNING and not state.flow.converged[e]:
            state.outcome[e] = Outcome.DIVERGED
            unsolved = True
        for l in range(len(tables.line)):
            state.rho[e, l] = state.flow.a_or[e, l] / state.thermal_limit[e, l]
    settle(frame)
    if not at_reset:
        tick(tables, frame)
        charge(frame, kind, first, last)
        for e in range(len(frame.ran)):
            if state.outcome[e] == Outcome.RUNNING and state.t[e] >= state.t_end[e]:
                state.outcome[e] = Outcome.TIME_LIMIT
        register(tables, frame, kind, index, first, last)
    else:
        note_running(state)
    return unsolved


@kernel_in_place
def _nobody_asked(block):  # pragma: no cover
    """The ruling when nobody asked for anything; attacks go on."""
    frame = view_frame(block)
    ruling = frame.ruling
    for e in range(len(frame.ran)):
        ruling.attack_refused[e] = False
        for z in range(ruling.reason.shape[1]):
            ruling.reason[e, z] = 0
            ruling.accepted[e, z] = True
        for l in range(ruling.attacked.shape[1]):
            ruling.attacked[e, l] = frame.state.attack.remaining[e, l]
            ruling.line_impacted[e, l] = False
        for s in range(ruling.sub_impacted.shape[1]):
            ruling.sub_impacted[e, s] = False


@rule
def _clear(flow, e):  # pragma: no cover
    """Zeros for an episode that was lost before its power flow."""
    flow.converged[e] = False
    for array in (flow.p_or, flow.q_or, flow.v_or, flow.a_or, flow.theta_or, flow.p_ex, flow.q_ex, flow.v_ex):
        for l in range(array.shape[1]):
            array[e, l] = 0.0
    for array in (flow.a_ex, flow.theta_ex, flow.gen_p, flow.gen_q, flow.gen_v, flow.gen_theta, flow.load_p):
        for i in range(array.shape[1]):
            array[e, i] = 0.0
    for array in (flow.load_q, flow.load_v, flow.load_theta, flow.storage_p, flow.storage_v, flow.storage_theta):
        for i in range(array.shape[1]):
            array[e, i] = 0.0
    for array in (flow.shunt_p, flow.shunt_q, flow.shunt_v):
        for i in range(array.shape[1]):
            array[e, i] = 0.0
    for b in range(flow.voltage.shape[1]):
        flow.voltage[e, b] = 0.0
