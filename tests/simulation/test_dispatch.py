"""Redispatch, curtailment and storage: worked examples, an independent optimiser, and properties that always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from scipy.optimize import minimize

from marlgrid.simulation.action import Kind, joint
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.redispatch import BOUND_SLACK_MW, _balance
from marlgrid.simulation.state import Dispatch, Outcome
from tests.simulation.small import StillSeries, asks, commands, play, small_system, start

K = Kind
REST = asks(0)
THREE_UNITS = {
    "gen_type": ("thermal", "hydro", "thermal"),
    "gen_pmax": np.array([140.0, 120.0, 120.0]),
    "gen_max_ramp_up": np.array([5.0, 10.0, 15.0]),
    "gen_max_ramp_down": np.array([5.0, 10.0, 15.0]),
    "gen_p_mw": np.array([70.0, 60.0, 60.0]),
}


def actual(states):
    return np.round(states[-1].dispatch.actual[0], 3).tolist()


def test_others_share_by_their_ramps():
    system = small_system(**THREE_UNITS)
    states, _ = play(system, start(system), asks(0, (K.REDISPATCH, 0, 2.0)))
    assert actual(states) == [2, -0.8, -1.2]


def test_what_a_bound_cuts_is_shared_equally():
    system = small_system(**THREE_UNITS)
    series = StillSeries(system)
    series.gen_p[1:] += [[3.2, 0, 0]]  # rises by 3.2 MW of the 5 MW ramp... which leaves 1.8 MW
    states, _ = play(system, start(system, series=series), asks(0, (K.REDISPATCH, 0, 5.0)), series=series)
    # wanted (5, -2, -3); gen_0 gets 1.8, the missing 3.2 MW are given back in equal parts
    assert actual(states) == pytest.approx([1.8, -0.4, -1.4], abs=2 * BOUND_SLACK_MW + 1e-3)


def test_target_is_pursued_over_several_steps_and_kept():
    system = small_system()
    states, _ = play(
        system, start(system), asks(0, (K.REDISPATCH, 0, 5.0)), asks(0, (K.REDISPATCH, 0, 5.0)), REST, REST
    )
    assert states[-1].dispatch.target[0, 0] == 10
    assert actual(states)[:2] == [10, -10]


def test_storage_is_balanced_and_gives_back_when_it_stops():
    system = small_system()
    states, _ = play(system, start(system), asks(1, (K.SET_STORAGE, 0, 6.0)), REST)
    # no target anywhere: by ramps, 5 to 10
    assert np.round(states[1].dispatch.actual[0], 3).tolist() == [2, 4, 0]
    assert actual(states) == [0, 0, 0]
    assert states[1].dispatch.storage_power[0, 0] == 6
    assert states[2].dispatch.storage_power[0, 0] == 0


def test_storage_charge_efficiency_loss_and_limits():
    system = small_system()  # 10 MWh, 1 MWh least, 0.9 in, 0.8 out, 0.12 MW lost, half full
    state = start(system)
    assert state.dispatch.storage_charge[0, 0] == pytest.approx(5.0)
    (_, after), _ = play(system, state, asks(1, (K.SET_STORAGE, 0, 12.0)))
    assert after.dispatch.storage_charge[0, 0] == pytest.approx(5 + 12 / 12 * 0.9 - 0.01)
    (_, after), _ = play(system, state, asks(1, (K.SET_STORAGE, 0, -12.0)))
    assert after.dispatch.storage_charge[0, 0] == pytest.approx(5 - 12 / 12 / 0.8 - 0.01)
    full = state._replace(dispatch=state.dispatch._replace(storage_charge=np.array([[9.91]])))
    (_, after), _ = play(system, full, asks(1, (K.SET_STORAGE, 0, 12.0)))
    assert after.dispatch.storage_power[0, 0] == pytest.approx(0.09 * 12 / 0.9)
    assert after.dispatch.storage_charge[0, 0] == pytest.approx(10 - 0.01)
    low = state._replace(dispatch=state.dispatch._replace(storage_charge=np.array([[1.1]])))
    (_, after), _ = play(system, low, asks(1, (K.SET_STORAGE, 0, -12.0)))
    assert after.dispatch.storage_power[0, 0] == pytest.approx(-0.1 * 12 * 0.8)
    assert after.dispatch.storage_charge[0, 0] == pytest.approx(1 - 0.01)


def test_no_losses_when_switched_off():
    system = small_system({"ACTIVATE_STORAGE_LOSS": False})
    (before, after), _ = play(system, start(system), asks(1, (K.SET_STORAGE, 0, 12.0)))
    assert before.dispatch.storage_charge[0, 0] == 5
    assert after.dispatch.storage_charge[0, 0] == 6


def test_curtailment_persists_is_balanced_and_released():
    system = small_system()  # wind at 20 of 40 MW
    states, _ = play(system, start(system), asks(1, (K.CURTAIL, 2, 0.3)), REST, asks(1, (K.CURTAIL, 2, 1.0)))
    assert [float(s.dispatch.scheduled_p[0, 2]) for s in states] == [20, 12, 12, 20]
    assert [float(s.dispatch.actual[0].sum()) for s in states] == pytest.approx([0, 8, 8, 0], abs=1e-6)
    assert states[2].dispatch.curtailment_limit[0, 2] == 0.3
    assert states[2].dispatch.p_before_curtail[0, 2] == 20


def test_infeasible_dispatch_ends_the_episode_and_blames_who_asked():
    system = small_system()  # 15 MW of ramp, 20 MW of wind
    action = joint([[commands((K.SET_LINE_STATUS, 3, 1)), commands((K.CURTAIL, 2, 0.0))]])
    (_, after), ruling = play(system, start(system), action)
    assert Outcome(after.outcome[0]) is Outcome.DISPATCH_INFEASIBLE
    assert ruling.reason.tolist() == [[Reason.ACCEPTED, Reason.DISPATCH_INFEASIBLE]]


def test_infeasible_curtailment_can_be_limited_instead():
    system = small_system({"LIMIT_INFEASIBLE_CURTAILMENT_STORAGE_ACTION": True})
    states, _ = play(system, start(system), asks(1, (K.CURTAIL, 2, 0.0)), REST, REST)
    assert (states[-1].outcome == Outcome.RUNNING).all()
    assert [float(s.dispatch.scheduled_p[0, 2]) for s in states] == pytest.approx([20, 5.01, 0, 0])
    assert states[1].dispatch.curtailment_limit_effective[0, 2] == pytest.approx(5.01 / 40)


def test_storage_power_on_no_busbar_ends_the_episode():
    system = small_system()
    (_, after), _ = play(system, start(system), asks(1, (K.SET_BUS, 9, -1), (K.SET_STORAGE, 0, 2.0)))
    assert Outcome(after.outcome[0]) is Outcome.LOAD_OR_GEN_DISCONNECTED


megawatts = st.floats(-6, 6).map(lambda x: round(x, 2))


@given(
    asked=st.lists(st.tuples(megawatts, megawatts, st.floats(-12, 12), st.floats(0, 1)), min_size=1, max_size=8),
    drift=st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=8, max_size=8),
)
def test_limits_ramps_and_balance_always_hold(asked, drift):
    """While the episode runs: pmin, pmax, ramps, charge limits; and what is redispatched balances the rest."""
    system = small_system(gen_pmax=np.array([60.0, 40.0, 40.0]))
    series = StillSeries(system)
    series.gen_p[1:9, :2] += np.cumsum(drift, axis=0)
    state = start(system, series=series)
    for first, second, storage, cap in asked:
        actions = [commands((K.REDISPATCH, 0, np.clip(first, -5, 5))), []]
        actions[1] = commands((K.REDISPATCH, 1, second), (K.CURTAIL, 2, cap), (K.SET_STORAGE, 0, storage))
        (before, state), _ = play(system, state, joint([actions]), series=series)
        if state.outcome[0] != Outcome.RUNNING:
            break
        dispatch, grid = state.dispatch, system.grid
        if abs(dispatch.actual).max() > 0.02:
            moved = (dispatch.setpoint - before.dispatch.setpoint)[0, :2]
            assert (dispatch.setpoint[0, :2] <= grid.gen_pmax[:2] + 1e-3).all()
            assert (dispatch.setpoint[0, :2] >= grid.gen_pmin[:2] - 1e-3).all()
            assert (abs(moved) <= grid.gen_max_ramp_up[:2] + 2e-2).all()
        assert -1e-9 <= dispatch.storage_charge[0, 0] <= grid.storage_emax[0] + 1e-9
        needed = dispatch.curtailed[0] + dispatch.storage_power[0].sum()
        assert dispatch.actual[0].sum() == pytest.approx(needed, abs=0.02 * len(asked))


@njit
def balanced(tables, rise, needed, taking_part, dispatch):
    return _balance(tables, 0, rise, needed, taking_part, dispatch)


@given(st.integers(0, 10_000))
def test_balance_agrees_with_a_general_optimiser(seed):
    """Generators with targets: the weighted least squares optimum, found by SLSQP from another starting point."""
    rng = np.random.default_rng(seed)
    system = small_system(**THREE_UNITS)
    dispatch = start(system).dispatch
    dispatch = Dispatch(*(array.copy() for array in dispatch))
    dispatch.modified[0] = True
    dispatch.target[0] = rng.uniform(-12, 12, 3)
    rise, needed = rng.uniform(-3, 3, 3), rng.uniform(-5, 5)
    tables, agility = system.tables, 2 * THREE_UNITS["gen_max_ramp_up"] + 1e-4
    lo = np.maximum(-70 + 0 * rise, -THREE_UNITS["gen_max_ramp_down"] - rise)
    hi = THREE_UNITS["gen_max_ramp_up"] - rise
    target = dispatch.target[0].copy()
    assert balanced(tables, rise, needed, np.ones(3, dtype=bool), dispatch)
    best = minimize(
        lambda x: ((x - target) ** 2 / agility).sum(),
        np.clip(np.full(3, needed / 3), lo, hi),
        bounds=list(zip(lo, hi, strict=True)),
        constraints={"type": "eq", "fun": lambda x: x.sum() - needed},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 300},
    )
    assert dispatch.actual[0].sum() == pytest.approx(needed, abs=1e-8)
    assert dispatch.actual[0] == pytest.approx(best.x, abs=5e-3)
