"""Actions side by side with Grid2Op: verdicts, impacts, sums and texts of random contradictory ones."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from marlgrid.model.datasets.case import load_case
from marlgrid.powerflow import power_flow
from marlgrid.simulation.action import Kind
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.step import initial
from marlgrid.task.action_view import ActionView
from marlgrid.task.commands import make_action

grid2op = pytest.importorskip("grid2op")
CASE = "educ_case14_storage"
AMBIGUOUS = {
    Reason.AMBIGUOUS_LINE, Reason.AMBIGUOUS_BUS, Reason.REDISPATCH_OUT_OF_RANGE, Reason.CURTAILMENT_OUT_OF_RANGE,
    Reason.STORAGE_OUT_OF_RANGE,
}  # fmt: skip


AREAS = [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12, 13]]


def world(n_busbar, rules="default"):
    """Grid2Op's environment and our system, its series, under the same rules."""
    from grid2op.Action import PlayableAction
    from grid2op.Rules import AlwaysLegal, DefaultRules, RulesByArea
    from lightsim2grid import LightSimBackend

    theirs = {"default": DefaultRules, "always-legal": AlwaysLegal, "by-area": RulesByArea(AREAS)}[rules]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = grid2op.make(
            CASE, test=True, backend=LightSimBackend(), action_class=PlayableAction, n_busbar=n_busbar,
            gamerules_class=theirs,
        )  # fmt: skip
    ours = {"base": rules, "areas": AREAS} if rules == "by-area" else rules
    system, series = load_case(CASE, zones=1, n_busbar=n_busbar, rules=ours)
    return env, system, series


def states(env, system, series):
    """The same state in both, after each of some steps."""
    solver = power_flow("newton", system.grid)
    zero = np.zeros(1, dtype=np.int64)
    state = initial(system, solver, series, zero, zero, zero, zero + 100)
    env.seed(0)
    observation = env.reset()
    for keys in (
        {},
        {"set_line_status": [(3, -1)]},
        {"set_bus": {"loads_id": [(2, 1)]}},
        {"set_line_status": [(4, -1)]},
    ):
        observation, _, done, info = env.step(env.action_space(keys))
        assert not done
        assert not info["exception"]
        topology = state.topology._replace(topo_vect=observation.topo_vect[None].astype(np.int32))
        counters = state.counters._replace(
            time_before_cooldown_line=observation.time_before_cooldown_line[None].astype(np.int32),
            time_before_cooldown_sub=observation.time_before_cooldown_sub[None].astype(np.int32),
        )
        yield state._replace(topology=topology, counters=counters)


def hostile(grid, rng):
    """One to four commands that lie close together, so that they meet and contradict each other."""
    line = int(rng.choice([0, 1, 3, 4, 16]))
    keys = {}
    for _ in range(rng.integers(1, 5)):
        kind = rng.choice(["status", "toggle", "or", "ex", "swap_or", "swap_ex", "load", "storage", "gen", "power"])
        bus = int(rng.choice([-1, *range(1, grid.n_busbar + 1)]))
        other = int(rng.choice([line, rng.integers(grid.n_line)]))
        if kind == "status":
            keys.setdefault("set_line_status", []).append((other, int(rng.choice([-1, 1]))))
        elif kind == "toggle":
            keys["change_line_status"] = [other]
        elif kind in ("or", "ex"):
            keys.setdefault("set_bus", {}).setdefault(f"lines_{kind}_id", []).append((other, bus))
        elif kind in ("swap_or", "swap_ex"):
            if grid.n_busbar != 2:
                continue  # Grid2Op's actions have no change_bus then; here it is refused
            keys.setdefault("change_bus", {})[f"lines_{kind[-2:]}_id"] = [other]
        elif kind == "load":
            keys.setdefault("set_bus", {})["loads_id"] = [(int(rng.integers(grid.n_load)), bus)]
        elif kind == "storage":
            keys.setdefault("set_bus", {})["storages_id"] = [(0, bus)]
        elif kind == "gen":
            keys["redispatch"] = [(int(rng.integers(grid.n_gen)), float(rng.choice([-50.0, -1.0, 1.0, 50.0])))]
        else:
            keys["set_storage"] = [(int(rng.integers(2)), float(rng.choice([-50.0, -1.0, 1.0, 50.0])))]
            keys["curtail"] = [(int(rng.integers(grid.n_gen)), float(rng.choice([0.0, 0.5, 1.0, 1.5])))]
    return keys


@pytest.mark.parametrize(
    ("n_busbar", "rules"), [(1, "default"), (2, "default"), (3, "default"), (2, "by-area"), (2, "always-legal")]
)
def test_verdicts_and_impacts_on_random_hostile_actions(n_busbar, rules):
    env, system, series = world(n_busbar, rules)
    rng = np.random.default_rng(n_busbar)
    seen = set()
    for state in states(env, system, series):
        for _ in range(150):
            keys = hostile(system.grid, rng)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                action = env.action_space(keys)
                theirs = action.get_topological_impact(env.current_obs.line_status)
                ambiguous = action.is_ambiguous()[0]
                legal = ambiguous or env._game_rules(action=action, env=env)[0]
            ours = ActionView(system, make_action(system, keys))
            reason = ours.reason(state, 0)
            seen.add(reason)
            assert (reason in AMBIGUOUS) == ambiguous, (keys, reason)
            assert ambiguous or (reason is Reason.ACCEPTED) == legal, (keys, reason)
            if not ambiguous:
                np.testing.assert_array_equal(ours.topological_impact(state)[0], theirs[0], str(keys))
                np.testing.assert_array_equal(ours.topological_impact(state)[1], theirs[1], str(keys))
    assert len(seen) >= (5 if rules == "always-legal" else 8)


@pytest.fixture(scope="module")
def pair():
    return world(2)


def in_numbers(told):
    """Grid2Op's dictionaries in plain values."""
    if isinstance(told, dict):
        return {key: in_numbers(value) for key, value in told.items()}
    if isinstance(told, (list, tuple, np.ndarray)):
        return [in_numbers(value) for value in told]
    return told.item() if isinstance(told, np.generic) else told


def test_inspection_as_in_grid2op(pair):
    env, system, _ = pair
    rng = np.random.default_rng(5)
    for _ in range(60):
        keys = hostile(system.grid, rng)
        action, ours = env.action_space(keys), ActionView(system, make_action(system, keys))
        theirs = in_numbers(action.impact_on_objects())
        mine = ours.impact_on_objects()
        theirs["storage"]["capacities"] = [told for told in theirs["storage"]["capacities"] if told["new_capacity"]]
        for told in (theirs, mine):
            for part in ("bus_switch", "assigned_bus", "disconnect_bus"):
                told["topology"][part].sort(key=lambda entry: (entry["object_type"], entry["object_id"]))
        assert mine == theirs, keys
        assert make_action(system, json.loads(json.dumps(in_numbers(action.as_serializable_dict())))).kind.tolist() == (
            ours.commands.kind.tolist()
        )
        for names in (True, False):
            written = json.loads(json.dumps(ours.as_serializable_dict(names)))
            assert ActionView(system, make_action(system, written)) == ours
            assert env.action_space(ours.as_serializable_dict()) == action


def set_and_change(commands):
    """Whether a status or a busbar is both set and changed."""
    named = {(int(kind), int(index)) for kind, index in zip(commands.kind, commands.index, strict=True)}
    return any((kind + 1, index) in named for kind, index in named if kind in (Kind.SET_LINE_STATUS, Kind.SET_BUS))


def test_sums_as_in_grid2op(pair):
    env, system, _ = pair
    rng = np.random.default_rng(6)
    for _ in range(200):
        left, right = hostile(system.grid, rng), hostile(system.grid, rng)
        if any(set_and_change(make_action(system, keys)) for keys in (left, right)):
            continue  # contradicts itself: there the change is dropped, here it stays and is refused
        total = env.action_space(left) + env.action_space(right)
        ours = ActionView(system, make_action(system, left)) + right
        theirs = ActionView(system, make_action(system, in_numbers(total.as_serializable_dict())))
        assert str(ours) == str(theirs), (left, right)
        np.testing.assert_allclose(ours.commands.value, theirs.commands.value, rtol=1e-6)
