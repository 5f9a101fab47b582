"""Attacks on substations: what they hold, how long, at what price, and the same episode in Grid2Op."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.action import Attack, Kind, SubstationAttack, do_nothing, no_attack
from marlgrid.simulation.rules import attack_allowed, attack_refused
from marlgrid.simulation.step import step
from marlgrid.simulation.substations import substation_attack_allowed
from marlgrid.task.opponents import ScheduleOpponent
from marlgrid.task.opponents.tape import record
from tests.simulation.small import GivenCurrents, StillSeries, asks, play, small_system, start

SYSTEM = small_system({"nb_timestep_cooldown_sub": 3})
SYSTEM = replace(SYSTEM, attack=replace(SYSTEM.attack, subs=("sub_1",), initial_budget=20.0))
FIRST, LAST = (int(place) for place in SYSTEM.grid.sub_start[1:3])
SPLIT = [1, 2] * ((LAST - FIRST) // 2) + [1] * ((LAST - FIRST) % 2)
REST = do_nothing(1, 2)


def split(duration: int, busbars=SPLIT, sub: int = 1) -> Attack:
    durations = np.zeros((1, 3), dtype=np.int32)
    durations[0, sub] = duration
    bus = np.zeros((1, SYSTEM.grid.dim_topo), dtype=np.int32)
    bus[0, SYSTEM.grid.sub_start[sub] : SYSTEM.grid.sub_start[sub] + len(busbars)] = busbars
    return Attack(np.zeros((1, 4), dtype=np.int32), SubstationAttack(durations, bus))


def at_sub_1(state) -> list[int]:
    return state.topology.topo_vect[0, FIRST:LAST].tolist()


def cooldown(state) -> int:
    return int(state.counters.time_before_cooldown_sub[0, 1])


def test_it_holds_the_busbars_for_its_duration_and_nothing_goes_back_by_itself():
    states, _ = play(SYSTEM, start(SYSTEM), *[REST] * 5, attack=split(3))
    assert [int(state.attacked.sub[0, 1]) for state in states] == [0, 3, 2, 1, 0, 0]
    assert [cooldown(state) for state in states] == [0, 2, 1, 0, 0, 0]
    assert [at_sub_1(state) == SPLIT for state in states] == [False] + [True] * 5
    assert [float(state.attack.budget[0]) for state in states] == [20.0, 19.5, 19.0, 18.5, 19.0, 19.5]
    assert states[-1].attack.starts.tolist() == [1]
    assert [int(state.attack.cooldown[0]) for state in states][:3] == [0, 5, 4]


def test_it_overrides_the_zone_and_its_substation_cools_down():
    back = asks(1, *[(Kind.SET_BUS, place, 1) for place in range(FIRST, LAST)])
    states, _ = play(SYSTEM, start(SYSTEM), back, attack=split(3))
    assert at_sub_1(states[-1]) == SPLIT
    assert cooldown(states[-1]) == 3, "the greater of attack and own action"
    states, ruling = play(SYSTEM, start(SYSTEM), REST, back, REST, back, attack=split(3))
    assert [at_sub_1(state) == SPLIT for state in states] == [False, True, True, True, False]
    assert ruling.accepted[0, 1]


def test_a_line_that_is_out_is_not_brought_back():
    place = int(SYSTEM.grid.line_ex_pos_topo_vect[0])
    off = asks(0, (Kind.SET_LINE_STATUS, 0, -1))
    on = asks(0, (Kind.SET_LINE_STATUS, 0, 1))
    states, _ = play(SYSTEM, start(SYSTEM), off, attack=split(4))
    assert states[-1].topology.topo_vect[0, place] == -1
    states, _ = play(SYSTEM, states[-1], on)
    assert states[-1].topology.topo_vect[0, place] == SPLIT[place - FIRST], "back in service, it is held too"


@pytest.mark.parametrize(
    "attack",
    [split(5), split(-1), split(2, [0] * 4), split(2, [1, 3]), split(2, [1, -1]), split(2, [1, 1], sub=0), split(0)],
)
def test_what_is_refused(attack):
    assert attack_refused(SYSTEM, start(SYSTEM), attack).tolist() == [True]


def test_price_budget_and_repetition():
    state = start(SYSTEM)
    assert not attack_refused(SYSTEM, state, split(4))[0]
    poor = state._replace(attack=state.attack._replace(budget=np.array([3.0])))
    assert attack_refused(SYSTEM, poor, split(4))[0]
    assert not attack_refused(SYSTEM, poor, split(3))[0]
    both = split(2)._replace(duration=np.array([[0, 0, 2, 0]], dtype=np.int32))
    assert attack_refused(SYSTEM, poor, both)[0], "the price of both counts"
    quick = replace(SYSTEM, attack=replace(SYSTEM.attack, cooldown=0, initial_budget=6.0, budget_per_step=0.0))
    states, _ = play(quick, start(quick), REST, REST, REST, REST, attack=split(4))
    assert [bool(substation_attack_allowed(quick, s, np.array([1]))[0, 1]) for s in states] == [1, 0, 0, 0, 1]
    assert [bool(attack_allowed(quick, s, np.array([3], np.int32)).any()) for s in states] == [1, 0, 0, 0, 0]
    assert [bool(attack_allowed(quick, s, np.array([2], np.int32)).any()) for s in states] == [1] * 5
    refused = [bool(attack_refused(quick, s, split(1))[0]) for s in states]
    assert refused == [False, True, True, True, False]


def test_episodes_are_recorded_and_replayed():
    """Lines and substations, attacks of one step, back to back."""
    attacks = [
        (0, "line_2", 1),
        (1, "sub_1", 2, None, SPLIT),
        (3, "line_2", 1),
        (3, "sub_1", 1, None, SPLIT),
        (4, "line_0", 4),
    ]
    system = replace(SYSTEM, attack=replace(SYSTEM.attack, cooldown=0, initial_budget=100.0))

    def played(opponent):
        solver, series = GivenCurrents(system), StillSeries(system)
        states = [start(system)]
        memory = opponent.reset(system, states[0])
        for _ in range(8):
            back = np.where(states[-1].attack.remaining > 0, 0, 1)
            lines = asks(0, *[(Kind.SET_LINE_STATUS, line, 1) for line in np.flatnonzero(back[0][:1])])
            attack, memory = opponent.attack(system, states[-1], memory)
            after, _ = step(system, solver, series, states[-1], lines, attack)
            topo_vect = after.topology.topo_vect.copy()
            line_2 = [SYSTEM.grid.line_or_pos_topo_vect[2], SYSTEM.grid.line_ex_pos_topo_vect[2]]
            topo_vect[0, line_2] = 1
            states.append(after._replace(topology=after.topology._replace(topo_vect=topo_vect)))
        return record(system, states)

    tape = played(ScheduleOpponent(attacks))
    assert [(a.step, a.element, a.duration) for a in tape] == [entry[:3] for entry in attacks]
    assert tape[1].set_bus == tuple(SPLIT)
    assert played(ScheduleOpponent(tape)) == tape


# ---------------------------------------------------------------------- Grid2Op
BUSBARS = [1, 2, 1, 2, 1, 2]
STEPS = 14
ATTACKS = {1: 4, 7: 3}
"""Step and duration of attacks on substation 1."""
MOVES = {
    0: {"set_line_status": [(10, -1)]},
    3: {"set_bus": {"substations_id": [(1, [1] * 6)]}},
    5: {"set_bus": {"substations_id": [(1, [1] * 6)]}},
    8: {"set_bus": {"substations_id": [(4, [1, 1, 2, 1, 2])]}},
    10: {"set_bus": {"substations_id": [(1, [1] * 6)]}},
    13: {"set_bus": {"substations_id": [(1, [1] * 6)]}},
}
"""What the agent does: on the substation it is refused while the attack lasts, and allowed from then on."""
PARAMETERS = {
    "NB_TIMESTEP_COOLDOWN_SUB": 2,
    "NO_OVERFLOW_DISCONNECTION": True,
    "MAX_SUB_CHANGED": 5,
    "MAX_LINE_STATUS_CHANGED": 5,
}


@pytest.fixture(scope="module")
def theirs():
    """(topo_vect, substations' cooldowns, rho, illegal, budget) after each step in Grid2Op, our opponent."""
    grid2op = pytest.importorskip("grid2op")
    lightsim2grid = pytest.importorskip("lightsim2grid")
    from grid2op.Action import TopologySetAction
    from grid2op.Opponent import BaseActionBudget, BaseOpponent

    class Splitter(BaseOpponent):
        def init(self, partial_env, **kwargs):
            pass

        def tell_attack_continues(self, *arguments):
            pass

        def attack(self, observation, *arguments):
            duration = ATTACKS.get(observation.current_step)
            split = {"set_bus": {"substations_id": [(1, BUSBARS)]}}
            return (None, None) if duration is None else (self.action_space(split), duration)

    parameters = grid2op.Parameters.Parameters()
    parameters.init_from_dict(PARAMETERS)
    env = grid2op.make(
        "rte_case14_realistic", test=True, backend=lightsim2grid.LightSimBackend(), param=parameters,
        opponent_class=Splitter, opponent_action_class=TopologySetAction, opponent_budget_class=BaseActionBudget,
        opponent_init_budget=20.0, opponent_attack_duration=6, opponent_attack_cooldown=0,
    )  # fmt: skip
    env.set_id(0)
    env.reset()
    rows = []
    for t in range(STEPS):
        obs, _, _, info = env.step(env.action_space(MOVES.get(t, {})))
        rows.append((obs.topo_vect, obs.time_before_cooldown_sub, obs.rho, info["is_illegal"], env._oppSpace.budget))
    env.close()
    return rows


@pytest.mark.filterwarnings("ignore")
def test_as_in_grid2op(theirs):
    attack = {"subs": ["sub_1"], "max_duration": 6, "cooldown": 0, "initial_budget": 20.0, "budget_per_step": 0.0}
    env = marlgrid.parallel_env(
        "rte_case14_realistic",
        zones=1,
        parameters=PARAMETERS,
        attack=attack,
        opponent=ScheduleOpponent([(t, "sub_1", duration, None, BUSBARS) for t, duration in ATTACKS.items()]),
    )
    env.reset(options={"scenario": 0})
    held = 0
    for t, (topo_vect, cooldowns, rho, illegal, budget) in enumerate(theirs):
        infos = env.step({"zone_0": env.make_action(MOVES.get(t, {}))})[4]
        state = env.current
        assert state.topology.topo_vect[0].tolist() == topo_vect.tolist(), t
        assert state.counters.time_before_cooldown_sub[0].tolist() == cooldowns.tolist(), t
        assert state.rho[0] == pytest.approx(rho, rel=1e-3, abs=1e-4), t
        assert bool(infos["zone_0"]["illegal"]) == illegal, t
        assert float(state.attack.budget[0]) == pytest.approx(budget), t
        held += state.attacked.sub[0, 1] > 0
    assert held == sum(ATTACKS.values())


def test_no_attack_has_no_price():
    assert not attack_refused(SYSTEM, start(SYSTEM), no_attack(1, 4))[0]
