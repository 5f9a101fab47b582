"""Grids that follow by actions and injections alone, the way back to the reference, and the balance of each bus."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import marlgrid
from experiments.parity_actions import commands_of
from marlgrid.simulation.state import Outcome
from marlgrid.task.observation import Observation
from tests.task.tasks import case_task

CHAIN = (
    {"set_bus": {"substations_id": [(1, [2, 2, 1, 2, 1, 2])]}},
    {"set_line_status": [(12, -1)]},
    {"set_line_status": [(12, 1)]},
)


@pytest.fixture(scope="module")
def worlds():
    """Both at the first state of a scenario."""
    grid2op = pytest.importorskip("grid2op")
    from grid2op.Action import PlayableAction
    from lightsim2grid import LightSimBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = grid2op.make("educ_case14_storage", test=True, backend=LightSimBackend(), action_class=PlayableAction)
    theirs.set_id(0)
    seen = theirs.reset()
    task = marlgrid.make_task("educ_case14_storage", zones=1)
    return task, Observation(task, task.reset(0, scenario=0)[0].state), theirs, seen


def compare(ours, theirs, but=()):
    names = ("p_or", "q_or", "p_ex", "a_or", "rho", "v_or", "gen_p", "gen_q", "load_p", "topo_vect", "line_status",
             "storage_power", "theta_or")  # fmt: skip
    assert ours.converged == theirs.converged
    for name in set(names) - set(but):
        mine, reference = getattr(ours.current_obs, name), getattr(theirs.current_obs, name)
        assert mine == pytest.approx(reference, rel=1e-3, abs=0.02), name


def test_chains_are_as_in_grid2op(worlds):
    _, ours, theirs, seen = worlds
    mine, reference = ours.get_simulator(), seen.get_simulator()
    for factor, keys in zip((1.0, 1.03, 0.99), CHAIN, strict=True):
        injections = {"new_load_p": ours.load_p * factor, "new_load_q": ours.load_q * factor}
        if factor != 1:
            injections["new_gen_p"] = ours.gen_p * factor
        action = theirs.action_space(keys)
        mine, reference = mine.predict(keys, **injections), reference.predict(action, **injections)
        compare(mine, reference)
    assert not ours.get_simulator().current_obs.over
    assert ours.line_status.all(), "predicting changes nothing"


@pytest.mark.parametrize(
    "keys",
    [
        {"redispatch": [(0, 3.0)]},
        {"redispatch": [(0, -2.0), (1, 4.0)]},
        {"curtail": [(2, 0.1)]},
        {"set_storage": [(0, -4.0), (1, 1.0)], "redispatch": [(1, 2.0)]},
    ],
)
def test_dispatch_is_as_in_grid2op(worlds, keys):
    _, ours, theirs, seen = worlds
    action = theirs.action_space(keys)
    mine = ours.get_simulator().predict(commands_of(action))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = seen.get_simulator().predict(action)
    assert mine.current_obs.gen_p == pytest.approx(reference.current_obs.gen_p, abs=0.05)
    compare(mine, reference, but=("q_or", "a_or", "rho", "gen_q", "theta_or", "p_or", "p_ex"))
    assert mine.current_obs.p_or == pytest.approx(reference.current_obs.p_or, abs=0.1)


def test_dispatch_without_a_target_is_shared_better_than_in_grid2op(worlds):
    """There the optimiser stops early: the same sum, and a larger sum of weighted squares."""
    task, ours, theirs, seen = worlds
    keys = {"set_storage": [(0, 3.0)]}
    mine = ours.get_simulator().predict(keys).current_obs
    reference = seen.get_simulator().predict(theirs.action_space(keys)).current_obs
    grid = task.system.grid
    weight = np.where(grid.gen_redispatchable, 1 / (grid.gen_max_ramp_up + grid.gen_max_ramp_down + 1e-6), 0)
    assert mine.actual_dispatch.sum() == pytest.approx(reference.actual_dispatch.sum(), abs=1e-3) == 3.0
    assert (weight * mine.actual_dispatch**2).sum() <= (weight * reference.actual_dispatch**2).sum()
    assert mine.actual_dispatch * weight == pytest.approx((weight * mine.actual_dispatch).max() * (weight > 0))


def test_dispatch_that_is_balanced_is_played_as_asked(worlds):
    """Grid2Op loses the production of such generators."""
    _, ours, theirs, seen = worlds
    keys = {"redispatch": [(0, 3.0), (1, -3.0)]}
    moved = ours.get_simulator().predict(keys).current_obs.gen_p - ours.gen_p
    assert moved[:5] == pytest.approx([3, -3, 0, 0, 0])
    assert seen.get_simulator().predict(theirs.action_space(keys)).current_obs.gen_p[0] < 10


def test_what_does_not_converge(worlds):
    _, ours, theirs, seen = worlds
    heavy = {"new_load_p": ours.load_p * 20}
    mine = ours.get_simulator().predict(None, **heavy)
    assert not mine.converged
    assert not seen.get_simulator().predict(theirs.action_space({}), **heavy).converged
    assert mine.current_obs.outcome == Outcome.DIVERGED
    with pytest.raises(ValueError, match="no grid to predict from: DIVERGED"):
        mine.predict()
    lost = ours.get_simulator().predict({"set_bus": {"loads_id": [(0, -1)]}})
    assert lost.current_obs.outcome == Outcome.LOAD_OR_GEN_DISCONNECTED
    assert ours.get_simulator().predict({"set_storage": [(0, 1e4)]}).converged, "clipped to what the charge allows"
    assert ours.get_simulator().predict({"redispatch": [(0, 1e4)]}).converged, "as near as pmax allows"


def test_storages_obey_their_efficiencies_and_losses(worlds):
    task, ours, *_ = worlds
    grid, hours = task.system.grid, 5 / 60
    for power in (3.0, -3.0):
        first = ours.get_simulator().predict({"set_storage": [(0, power)]})
        second = first.predict()
        stored = power * (
            grid.storage_charging_efficiency[0] if power > 0 else 1 / grid.storage_discharging_efficiency[0]
        )
        charge = first.current_obs.storage_charge[0]
        assert charge - ours.storage_charge[0] == pytest.approx((stored - grid.storage_loss[0]) * hours)
        expected, _ = ours.simulate({"set_storage": [(0, power)]}, horizon=0)
        assert charge == pytest.approx(expected.storage_charge[0])
        assert second.current_obs.storage_power[0] == 0
        assert second.current_obs.gen_p == pytest.approx(ours.gen_p, abs=0.02), "what it took is given back"
        moved = first.current_obs.gen_p - ours.gen_p
        assert moved.sum() == pytest.approx(power, abs=0.2)  # and losses of the grid


def test_dispatch_in_force_is_not_added_again(worlds):
    _, ours, *_ = worlds
    first = ours.get_simulator().predict({"redispatch": [(0, 3.0)]})
    assert first.predict().current_obs.gen_p == pytest.approx(first.current_obs.gen_p, abs=1e-3)
    back = first.predict({"redispatch": [(0, -3.0)]})
    assert back.current_obs.gen_p == pytest.approx(ours.gen_p, abs=0.1)
    capped = ours.get_simulator().predict({"curtail": [(2, 0.0)]})
    assert capped.current_obs.gen_p[2] == 0
    assert capped.predict({"curtail": [(2, 1.0)]}).current_obs.gen_p == pytest.approx(ours.gen_p, abs=0.05)


@pytest.mark.parametrize("wrong", [{"new_load_p": [1.0]}, {"new_gen_v": np.full(6, np.nan)}])
def test_wrong_injections(worlds, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        worlds[1].get_simulator().predict(None, **wrong)


def test_the_way_back_is_grid2ops(worlds):
    task, _, theirs, seen = worlds
    asked = {
        "set_line_status": [(12, -1)],
        "redispatch": [(0, 4.9), (1, -2.0)],
        "curtail": [(2, 0.2)],
    }
    episode, _ = task.reset(0, scenario=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.set_id(0)
        theirs.reset()
        for keys in (asked, CHAIN[0], {"redispatch": [(0, 4.9)]}):
            seen, _, done, _ = theirs.step(theirs.action_space(keys))
            assert not done
            episode, _ = task.step(episode, {"zone_0": [commands_of(theirs.action_space(keys))]})
    now = Observation(task, episode.state)
    mine, reference = now.get_back_to_ref_state(), seen.get_back_to_ref_state()
    assert mine.keys() == reference.keys()
    assert {"powerline", "substation", "redispatching", "storage", "curtailment"} == set(mine)
    for kind, actions in reference.items():
        assert len(mine[kind]) == len(actions), kind
        for one, other in zip(mine[kind], map(commands_of, actions), strict=True):
            order, theirs_order = np.argsort(one.index), np.argsort(other.index)
            assert np.array_equal(one.index[order], other.index[theirs_order]), kind
            assert one.value[order] == pytest.approx(other.value[theirs_order], abs=0.05), kind


def test_the_way_back_leads_back():
    task = case_task("case14")
    episode, _ = task.reset(0, scenario=2, t_start=40)
    grid = task.system.grid
    sub, line = int(np.argmax(grid.sub_info)), 0
    half = np.where(np.arange(grid.sub_info[sub]) % 2, 2, 1)
    for keys in (
        {"set_line_status": (line, -1)},
        {"set_bus": {"substations_id": (sub, half)}},
        {"redispatch": (0, 1.0)},
    ):
        after, told = Observation(task, episode.state).simulate(keys)
        assert not told.reason.any()
        episode = episode._replace(state=after.state)
    now = Observation(task, episode.state)
    assert (now.topo_vect != 1).sum() > 2
    simulator = now.get_simulator()
    for actions in now.get_back_to_ref_state().values():
        for action in actions:
            simulator = simulator.predict(action)
    there = simulator.current_obs
    assert (there.topo_vect == 1).all()
    assert there.target_dispatch == pytest.approx(0, abs=1e-9)
    assert set(there.get_back_to_ref_state()) <= {"storage"}


def test_balance_of_every_bus(worlds):
    _, ours, _, seen = worlds
    split = ours.get_simulator().predict(CHAIN[0]).current_obs
    for observation in (ours, split):
        found = observation.check_kirchhoff()
        for left in found:
            assert left == pytest.approx(0, abs=1e-3)
    reference = seen.check_kirchhoff()
    assert [np.shape(part) for part in ours.check_kirchhoff()] == [np.shape(part) for part in reference]
    broken = ours.from_json(ours.to_json() | {"load_p": [ours.load_p[0] + 7.0, *ours.load_p[1:]]})
    sub = ours.grid.load_to_subid[0]
    assert broken.check_kirchhoff().p_subs[sub] == pytest.approx(7.0, abs=1e-3)
    assert np.flatnonzero(np.abs(broken.check_kirchhoff().p_bus) > 1).tolist() == [2 * sub]
