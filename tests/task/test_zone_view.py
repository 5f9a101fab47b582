"""The view of a zone: local numbers, no word from beyond, and what its actions would do."""

from __future__ import annotations

import copy
import json
from functools import lru_cache

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome
from marlgrid.task.attributes import ATTRIBUTES
from marlgrid.task.features import VectorObservation
from marlgrid.task.observation import Observation
from marlgrid.task.sight import Sight
from marlgrid.task.zone_view import SECRET, TOLD, ZoneObservation
from tests.task.tasks import case_task, rest

SIGHTS = (Sight("local"), Sight("neighbourhood", 1), Sight("neighbourhood", 2))


@lru_cache(maxsize=2)
def played(name: str = "case14"):
    """A task and a state in which something happened: a substation is split, a tie line is out."""
    task = case_task(name)
    zones, grid = task.system.zones, task.system.grid
    episode, _ = task.reset(0, scenario=2, t_start=40)
    tie = int(np.flatnonzero(zones.is_tie)[0])
    off = task.make_action({"set_line_status": (tie, -1)})
    episode, _ = task.step(episode, rest(task) | {f"zone_{zones.line_or[tie]}": [off]})
    sub = int(np.argmax(grid.sub_info))
    half = np.where(grid.topology_layout.line[grid.sub_start[sub] : grid.sub_start[sub + 1]] >= 0, 2, 1)
    half[np.flatnonzero(half == 2)[::2]] = 1
    split = task.make_action({"set_bus": {"substations_id": (sub, half)}})
    episode, _ = task.step(episode, rest(task) | {f"zone_{zones.labels[sub]}": [split]})
    assert episode.state.running.all()
    return task, episode.state


def views(name: str = "case14"):
    task, state = played(name)
    whole = Observation(task, state)
    for sight in SIGHTS:
        for agent in task.zones:
            yield whole, ZoneObservation(whole, agent, sight)


def test_every_attribute_is_that_of_the_elements_in_view():
    for whole, view in views():
        seen, patch = view.sight.subs(whole.system, view.zone), view.patch
        assert set(ATTRIBUTES) - set(view.names) == set(SECRET)
        told = view.from_vect(view.to_vect())
        for name in view.names:
            value = getattr(view, name)
            assert np.shape(value) == np.shape(getattr(told, name)), name
            assert np.asarray(value).dtype == np.asarray(getattr(whole, name)).dtype, name
        for kind in ("gen", "load", "storage", "shunt", "line"):
            names = getattr(view.grid, f"name_{kind}")
            assert names == tuple(getattr(whole.grid, f"name_{kind}")[i] for i in getattr(patch, kind))
        assert np.array_equal(patch.sub[~view.beyond], np.flatnonzero(seen))
        assert np.array_equal(view.gen_p, whole.gen_p[seen[whole.grid.gen_to_subid]])
        for name in ("rho", "line_status", "thermal_limit", "time_before_cooldown_line", "time_next_maintenance"):
            assert np.array_equal(getattr(view, name), getattr(whole, name)[patch.line]), name
        for end in ("or", "ex"):
            here = seen[getattr(whole.grid, f"line_{end}_to_subid")[patch.line]]
            for quantity in ("p", "q", "v", "a", "theta"):
                of_all = getattr(whole, f"{quantity}_{end}")[patch.line]
                assert np.array_equal(getattr(view, f"{quantity}_{end}"), np.where(here, of_all, 0))
        for local, sub in enumerate(patch.sub[~view.beyond]):
            assert np.array_equal(view.sub_topology(local), whole.sub_topology(int(sub)))
            assert np.array_equal(view.sub_topology(whole.grid.name_sub[sub]), whole.sub_topology(int(sub)))
        with pytest.raises(AttributeError, match="no attribute 'attack_budget'"):
            view.attack_budget  # noqa: B018
        with pytest.raises(ValueError, match="read-only"):
            view.rho[0] = 1


def test_tie_lines_are_marked():
    task, state = played()
    zones = task.system.zones
    marked = set()
    for agent in task.zones:
        view = ZoneObservation(Observation(task, state), agent, Sight("local"))
        assert np.array_equal(view.is_tie, zones.is_tie[view.patch.line])
        for line in np.flatnonzero(view.is_tie):
            ends = [view.grid.line_or_to_subid[line], view.grid.line_ex_to_subid[line]]
            assert view.beyond[ends].sum() == 1
        marked |= set(view.patch.line[view.is_tie].tolist())
    assert marked == set(np.flatnonzero(zones.is_tie).tolist())


def test_nothing_leaks_from_beyond():
    """Whatever is changed in the rest of the grid, the view, its vector, matrices and graphs stay the same."""
    task, state = played()
    rng = np.random.default_rng(0)
    for whole, view in views():
        other = Observation(task, scrambled(task.system.grid, state, view, rng))
        if len(view.patch.line) < whole.grid.n_line:
            assert (other.to_vect() != whole.to_vect()).sum() > 20
        again = ZoneObservation(other, view.agent, view.sight)
        for name in view.names:
            assert np.array_equal(getattr(again, name), getattr(view, name)), name
        assert np.array_equal(again.to_vect(), view.to_vect())
        assert json.dumps(again.to_json()) == json.dumps(view.to_json())
        for matrix in ("connectivity_matrix", "bus_connectivity_matrix"):
            assert np.array_equal(getattr(again, matrix)(), getattr(view, matrix)())
        assert np.array_equal(again.flow_bus_matrix()[0], view.flow_bus_matrix()[0])
        for graph in ("as_networkx", "get_elements_graph"):
            ours, theirs = getattr(again, graph)(), getattr(view, graph)()
            assert str(ours.nodes(data=True)) == str(theirs.nodes(data=True))
            assert str(ours.edges(data=True)) == str(theirs.edges(data=True))


def scrambled(grid, state, view, rng):
    """The state with other values of everything that is not in view; lines keep their status."""
    patch = view.patch
    seen = np.zeros(grid.n_sub, dtype=bool)
    seen[patch.sub[~view.beyond]] = True
    kinds = ("gen", "load", "storage", "shunt", "line")
    out = {kind: ~np.isin(np.arange(getattr(grid, f"n_{kind}")), getattr(patch, kind)) for kind in kinds}
    out |= {"sub": ~seen, "or": ~seen[grid.line_or_to_subid], "ex": ~seen[grid.line_ex_to_subid]}
    place = ~seen[grid.topology_layout.sub]

    def other(array, kind):
        changed = ~array if array.dtype == bool else array + rng.integers(1, 5, array.shape).astype(array.dtype)
        return np.where(out[kind], changed, array).astype(array.dtype)

    def others(group, kind, but=()):
        return group._replace(**{n: other(getattr(group, n), kind(n)) for n in group._fields if n not in but})

    topo = state.topology.topo_vect
    return state._replace(
        flow=others(state.flow, lambda n: n.split("_")[n[-3:] in ("_or", "_ex")], ("converged", "voltage")),
        rho=other(state.rho, "line"),
        disc_lines=other(state.disc_lines, "line"),
        topology=state.topology._replace(
            topo_vect=np.where(place & (topo > 0), 3 - topo, topo), shunt_bus=other(state.topology.shunt_bus, "shunt")
        ),
        counters=others(state.counters, lambda n: "sub" if n.endswith("sub") else "line"),
        dispatch=others(state.dispatch, lambda n: "storage" if n.startswith("storage") else "gen", ("curtailed",)),
        injections=others(state.injections, lambda n: n.split("_")[0] if n[-2] == "_" else "line"),
        attack=state.attack._replace(
            remaining=other(state.attack.remaining, "line"),
            budget=state.attack.budget + 7,
            cooldown=state.attack.cooldown + 3,
        ),
        attacked=state.attacked._replace(sub=other(state.attacked.sub, "sub")),
    )


def test_who_sees_all_sees_the_observation():
    task, state = played()
    whole, opened = Observation(task, state), {"set_line_status": (4, -1)}
    for agent in task.zones:
        view = ZoneObservation(whole, agent, Sight("global"))
        for name in TOLD:
            assert np.array_equal(getattr(view, name), getattr(whole, name)), name
        assert np.array_equal(view.flow_bus_matrix()[0], whole.flow_bus_matrix()[0])
        assert view.state_of(line_id=3) == whole.state_of(line_id=3)
        assert str(view.as_networkx().edges(data=True)) == str(whole.as_networkx().edges(data=True))
        assert not view.beyond.any()
        mine = view.make_action(opened)
        assert np.array_equal((view + opened).topo_vect, (whole + {agent: mine}).topo_vect)


def test_what_is_seen_obeys_kirchhoff():
    for _, view in views():
        for active in (True, False):
            matrix, _ = view.flow_bus_matrix(active_flow=active)
            assert matrix.sum(axis=1) == pytest.approx(0, abs=1e-5)
        graph = view.as_networkx()
        for node in graph.nodes:
            sent = sum(graph.edges[e]["p_or" if node == min(e) else "p_ex"] for e in graph.edges(node))
            assert sent == pytest.approx(graph.nodes[node]["p"], abs=1e-5)


def test_the_vector_and_back():
    for _, view in views():
        for told in (view.from_json(json.loads(json.dumps(view.to_json()))), view.from_vect(view.to_vect())):
            assert told == view
            assert told.names == view.names
            assert copy.copy(told) == view
            assert told.state_of(load_id=0)["sub_id"] == view.grid.load_to_subid[0]
    task, state = played()
    whole = Observation(task, state)
    one, two = (ZoneObservation(whole, agent, Sight()) for agent in task.zones[:2])
    assert one != two
    with pytest.raises(ValueError, match="different grids or zones"):
        one - two
    with pytest.raises(ValueError, match="different grids or zones"):
        ZoneObservation(whole, "zone_0", Sight("global")) - whole


def test_its_what_if_is_the_grids_seen_from_the_zone():
    task, state = played()
    whole = Observation(task, state)
    reasons = set()
    for zone, agent in enumerate(task.zones):
        for action in (None, 1, 5, len(task.actions.of_zone(zone)) - 1):
            for horizon in (0, 1, 3):
                expected, of_all = whole.simulate({} if action is None else {agent: action}, horizon)
                for sight in (Sight("local"), Sight("global")):
                    view = ZoneObservation(whole, agent, sight)
                    after, told = view.simulate(action, horizon)
                    assert after.over == expected.over
                    for name in view.names:
                        reference = view.patch.part(name, getattr(expected, name))
                        assert np.array_equal(getattr(after, name), reference), name
                    assert (told.reason, told.reward) == (of_all.reason[zone], of_all.reward[zone])
                    assert told.outcome == of_all.outcome
                    assert np.array_equal(told.disc_lines, of_all.disc_lines[view.patch.line])
                    reasons.add(told.reason)
    assert len(reasons) > 1
    once, _ = view.simulate()
    again, _ = once.simulate()
    assert np.array_equal(again.rho, whole.simulate()[0].simulate()[0].rho)


def test_actions_in_its_own_numbers():
    task, state = played()
    whole = Observation(task, state)
    zones = task.system.zones
    zone = next(z for z in range(zones.n_zone) if 0 < (zones.gen == z).sum() < task.system.grid.n_gen)
    agent, view = f"zone_{zone}", ZoneObservation(whole, f"zone_{zone}", Sight("neighbourhood", 3))
    own = view.system.zones
    line = int(np.flatnonzero((own.line_or == zone) & (own.line_ex == zone) & view.line_status)[0])
    gen = int(np.flatnonzero(own.gen == zone)[0])
    name, name_gen = view.grid.name_line[line], view.grid.name_gen[gen]
    for local, by_name in (
        ({"set_line_status": [(line, -1)]}, {"set_line_status": [(name, -1)]}),
        ({"redispatch": [(gen, 1.0)]}, {"redispatch": [(name_gen, 1.0)]}),
        ({"curtail": [(gen, 0.5)]}, {"curtail": [(name_gen, 0.5)]}),
        ({"set_bus": {"lines_or_id": [(line, 2)]}}, {"set_bus": {"lines_or_id": [(name, 2)]}}),
    ):
        commands = view.make_action(local)
        assert all(map(np.array_equal, commands, view.make_action(by_name)))
        assert all(map(np.array_equal, commands, task.make_action(by_name)))
        after, _ = view.simulate(local)
        assert np.array_equal(after.rho, whole.simulate({agent: commands})[0].rho[view.patch.line])
        added = whole.add_act({agent: commands})
        assert np.array_equal((view + local).topo_vect, view.patch.part("topo_vect", added.topo_vect))
        assert np.array_equal((view + local).line_status, added.line_status[view.patch.line])
    stranger = int(np.flatnonzero(own.gen != zone)[0])
    _, told = view.simulate({"redispatch": [(stranger, 1.0)]})
    assert told.reason == Reason.NOT_IN_ZONE
    with pytest.raises(ValueError, match="there is no line 'no_such'"):
        view.make_action({"set_line_status": [("no_such", -1)]})


def test_what_others_are_assumed_to_do():
    task, state = played()
    whole = Observation(task, state)
    view = ZoneObservation(whole, "zone_0", Sight())
    after, told = view.simulate(1, others={"zone_1": 2, "zone_2": 3})
    expected, of_all = whole.simulate({"zone_0": 1, "zone_1": 2, "zone_2": 3})
    assert np.array_equal(after.rho, expected.rho[view.patch.line])
    assert told.reward == of_all.reward[0]
    for wrong in ({"zone_7": 0}, {"zone_0": 0}, {"opponent_0": 0}):
        with pytest.raises(ValueError, match="other zones than zone_0"):
            view.simulate(1, others=wrong)


def test_its_forecasts():
    for whole, view in views():
        for horizon in (0, 2):
            ours, of_all = view.get_forecasted_inj(horizon), whole.get_forecasted_inj(horizon)
            assert np.array_equal(ours.load_p, of_all.load_p[view.patch.load])
            assert np.array_equal(ours.gen_v, of_all.gen_v[view.patch.gen])
        arrays = view.get_forecast_arrays()
        assert arrays.gen_p.shape == (whole.task.series.n_horizon + 1, view.grid.n_gen)
        assert np.array_equal(arrays.maintenance, whole.get_forecast_arrays().maintenance[:, view.patch.line])


def test_after_a_game_over():
    task, state = played()
    view = ZoneObservation(Observation(task, state), "zone_0", Sight())
    after, told = view.simulate({"set_bus": {"loads_id": [(0, -1)]}})
    assert told.outcome == Outcome.LOAD_OR_GEN_DISCONNECTED
    assert after.over
    assert not after.line_status.any()
    assert (after.topo_vect == -1).all()
    assert after.bus_connectivity_matrix().tolist() == [[0]]


@pytest.mark.parametrize("actions", ["discrete", "dict", "box"])
@pytest.mark.parametrize("scope", ["local", "neighbourhood", "global"])
def test_from_the_environment(scope, actions):
    env = marlgrid.parallel_env("case14", observation=scope, actions=actions)
    env.reset(seed=0)
    for zone, agent in enumerate(env.agents):
        view = env.observe_zone(agent)
        names = [name for name in env.task.observation.feature_names(agent) if name.startswith("rho ")]
        assert [name.removesuffix(" (tie)").split(" ", 1)[1] for name in names] == list(view.grid.name_line)
        if scope == "local":
            assert (view.system.zones.labels[~view.beyond] == zone).all()
        element = env.action_space(agent).sample()
        after, _ = view.simulate(element)
        expected, _ = env.observe_grid().simulate({agent: element})
        assert np.array_equal(after.rho, expected.rho[view.patch.line])
        view.simulate({})
    with pytest.raises(ValueError, match=r"'zone_9' is no zone; choose from \['zone_0', 'zone_1', 'zone_2'\]"):
        env.observe_zone("zone_9")


def test_the_view_has_the_noise_of_the_vectors():
    env = marlgrid.parallel_env("case14", observation={"noise": "grid2op", "normalise": False})
    vectors, _ = env.reset(seed=0)
    view = env.observe_zone("zone_1")
    names = env.task.observation.feature_names("zone_1")
    rho = vectors["zone_1"][[i for i, name in enumerate(names) if name.startswith("rho ")]]
    assert view.rho == pytest.approx(rho, rel=1e-5)
    assert not np.allclose(view.rho, env.observe_grid().rho[view.patch.line], rtol=1e-4)


def test_alarms_and_alerts_of_what_is_in_view():
    grid = marlgrid.load_case("case14").system.grid
    rules = {"alert_lines": grid.name_line, "alarm_areas": {"first": grid.name_line[:2], "last": grid.name_line[-2:]}}
    env = marlgrid.parallel_env("case14", attention=rules)
    env.reset(seed=0)
    view = env.observe_zone("zone_1")
    assert view.system.attention.alert_lines == view.grid.name_line
    alert = view.make_action({"raise_alert": [1]})
    assert all(map(np.array_equal, alert, env.make_action({"raise_alert": [view.grid.name_line[1]]})))
    env.step(dict.fromkeys(env.agents, 0) | {"zone_1": alert})
    view, whole = env.observe_zone("zone_1"), env.observe_grid()
    assert np.flatnonzero(view.active_alert).tolist() == [1]
    assert np.array_equal(view.active_alert, whole.active_alert[view.patch.line])
    assert np.array_equal(view.last_alarm, whole.last_alarm[view.patch.alarm])
    assert view.attention_budget == whole.attention_budget
    assert view.from_vect(view.to_vect()) == view


class Plain:
    """An observation of the user's own, which says nothing of how far it sees."""

    def __init__(self, system, series) -> None:
        inner = VectorObservation(system, series)
        self.space, self.observe, self.central_state = inner.space, inner.observe, inner.central_state
        self.state_space = inner.state_space


def test_any_observation_of_the_users_own_gives_the_zone_alone():
    env = marlgrid.parallel_env("case14", observation=Plain)
    env.reset(seed=0)
    assert env.observe_zone("zone_0").sight == Sight("local")


def test_larger_grids():
    for whole, view in views("case118"):
        assert view.grid.n_line < whole.grid.n_line
        assert np.array_equal(view.from_vect(view.to_vect()).topo_vect, view.topo_vect)


def test_its_way_back_is_its_part_of_the_grids():
    """All zones' ways back together are that of the grid; lines between zones are in those of both ends."""
    task, state = played()
    whole = Observation(task, state)
    gens = whole.grid.gen_redispatchable
    dispatch = state.dispatch._replace(target=np.where(gens, 1.0, 0.0)[None])
    whole = Observation(task, state._replace(dispatch=dispatch))
    everything = whole.get_back_to_ref_state()
    assert {"powerline", "substation", "redispatching"} <= set(everything)
    found = {kind: set() for kind in everything}
    for zone, agent in enumerate(task.zones):
        view = ZoneObservation(whole, agent, Sight("neighbourhood", 1))
        for kind, actions in view.get_back_to_ref_state().items():
            for action in actions:
                told = task.describe_action(action)
                found[kind] |= set(zip(action.kind.tolist(), action.index.tolist(), action.value.tolist(), strict=True))
                assert str(told)
                said = view.simulate(action)[1]
                assert said.reason == Reason.ACCEPTED or kind in ("powerline", "substation"), (said.reason, zone)
    for kind, actions in everything.items():
        asked = {
            entry for a in actions for entry in zip(a.kind.tolist(), a.index.tolist(), a.value.tolist(), strict=True)
        }
        assert found[kind] == asked, kind
