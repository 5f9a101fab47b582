"""The full observation: attributes, read-only, and the question "what if?"."""

from __future__ import annotations

import copy
import json
import pickle
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import marlgrid
from marlgrid.simulation.reason import Reason
from marlgrid.simulation.state import Outcome
from marlgrid.task.attributes import ATTRIBUTES, attribute_table, shape
from marlgrid.task.commands import split_by_zone
from marlgrid.task.observation import Observation
from marlgrid.task.zone_view import ZoneObservation
from tests.task.tasks import case_task, rest, small_task

DOCS = Path(__file__).parents[2] / "docs" / "observation.md"


def seen(task, **reset):
    episode, _ = task.reset(0, **reset)
    return Observation(task, episode.state), episode


def test_time():
    task = small_task()
    observation, episode = seen(task, t_start=13, max_steps=20)
    for _ in range(2):
        episode, _ = task.step(episode, rest(task))
    observation = Observation(task, episode.state)
    assert observation.get_time_stamp() == datetime(2030, 1, 7, 1, 15)
    names = ("year", "month", "day", "hour_of_day", "minute_of_hour", "day_of_week")
    assert [getattr(observation, name) for name in names] == [2030, 1, 7, 1, 15, 0]
    assert (observation.current_step, observation.max_step, observation.delta_time) == (2, 20, 5.0)


def test_every_attribute_is_as_the_table_says_and_none_can_be_written():
    observation, _ = seen(case_task("case14"))
    assert set(ATTRIBUTES) < set(dir(observation))
    for name, attribute in ATTRIBUTES.items():
        value = getattr(observation, name)
        assert np.shape(value) == shape(observation.system, name), name
        if attribute.size:
            assert not value.flags.writeable, name
            assert value.dtype == {int: np.int32, float: np.float64, bool: bool}[attribute.dtype], name
        else:
            assert isinstance(value, attribute.dtype), name
        assert np.isfinite(np.asarray(value, dtype=float)).all(), name
    before = observation.rho.copy()
    with pytest.raises(ValueError, match="read-only"):
        observation.rho[0] = 3.0
    assert np.array_equal(observation.state.rho[0], before)
    assert observation.to_dict().keys() == ATTRIBUTES.keys()


def test_the_table_in_the_docs():
    assert attribute_table() in DOCS.read_text(encoding="utf-8").replace("\r\n", "\n")


def public_methods(*kinds) -> set[str]:
    return {n for kind in kinds for n in dir(kind) if not n.startswith("_") and callable(getattr(kind, n, None))}


def test_the_methods_in_the_docs_are_those_of_the_code():
    named = set(re.findall(r"`(?:observation\.|view\.|a\.)?(\w+)\(", DOCS.read_text(encoding="utf-8")))
    methods = public_methods(Observation, ZoneObservation)
    assert methods <= named, "every method is listed"
    assert named <= methods | {"observe_grid", "observe_zone", "predict"}, "everything listed exists"


def test_the_examples_in_the_docs_run():
    env = marlgrid.parallel_env("case14", zones=3)
    env.reset(seed=0)
    names = {"env": env}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(DOCS), "exec"), names)
    assert names["told"].reason == Reason.ACCEPTED


def test_vector_and_json_there_and_back():
    task = case_task("case14")
    observation, episode = seen(task)
    line = task.make_action({"set_line_status": (2, -1)})
    episode, _ = task.step(episode, rest(task) | {"zone_0": [line]})
    later = Observation(task, episode.state)
    for given in (observation, later):
        told = observation.from_json(json.loads(json.dumps(given.to_json())))
        vector = given.to_vect()
        rounded = observation.from_vect(vector)
        assert vector.dtype == np.float32
        for name in ATTRIBUTES:
            assert np.array_equal(getattr(told, name), getattr(given, name)), name
            assert np.asarray(getattr(rounded, name)).dtype == np.asarray(getattr(given, name)).dtype, name
            assert getattr(rounded, name) == pytest.approx(getattr(given, name), rel=1e-6, abs=1e-5), name
        assert np.array_equal(rounded.to_vect(), vector)
        assert told == given
        assert told.time_stamp == given.time_stamp
        assert pickle.loads(pickle.dumps(told)) == told == told.copy() == copy.copy(told)
        assert np.array_equal(told.flow_bus_matrix()[0], given.flow_bus_matrix()[0])
        with pytest.raises(AttributeError, match="no attribute 'simulate'"):
            told.simulate()
    assert observation != later
    with pytest.raises(ValueError, match="has shape"):
        observation.from_vect(vector[:-1])
    with pytest.raises(ValueError, match="entry 3 of the vector is not a finite number"):
        observation.from_vect(np.where(np.arange(len(vector)) == 3, np.nan, vector))
    with pytest.raises(ValueError, match=r"missing \['rho'\], unknown \['roh'\]"):
        observation.from_json({{"rho": "roh"}.get(name, name): value for name, value in observation.to_json().items()})
    with pytest.raises(ValueError, match="rho: 1 values were given, this grid has 20"):
        observation.from_json(observation.to_json() | {"rho": [0.5]})


def test_differences():
    task = case_task("case14")
    observation, episode = seen(task)
    episode, _ = task.step(episode, rest(task) | {"zone_0": [task.make_action({"set_line_status": (2, -1)})]})
    later = Observation(task, episode.state)
    difference, names = later.where_different(observation)
    assert np.flatnonzero(difference.line_status).tolist() == [2]
    assert np.array_equal(difference.rho, later.rho - observation.rho)
    assert difference.current_step == 1
    assert {"rho", "topo_vect", "line_status", "current_step", "minute_of_hour"} <= set(names)
    assert not {"year", "outcome", "max_step"} & set(names)
    assert observation.where_different(observation)[1] == []
    assert "rho" not in later.where_different(observation, tolerance=10.0)[1]
    with pytest.raises(ValueError, match="different grids"):
        observation - seen(small_task())[0]
    with pytest.raises(TypeError, match="not with int"):
        observation - 1
    assert observation != seen(small_task())[0]


def test_kirchhoff_in_matrix_and_graph():
    observation, _ = seen(case_task("case14"))
    for active in (True, False):
        matrix, of = observation.flow_bus_matrix(active_flow=active)
        assert matrix.sum(axis=1) == pytest.approx(0, abs=1e-5)
        assert np.array_equal(observation.flow_bus_matrix(active, as_csr_matrix=True)[0].toarray(), matrix)
    assert matrix.shape == (14, 14)
    assert of.load.tolist() == observation.grid.load_to_subid.tolist()
    graph = observation.as_networkx()
    for node in graph.nodes:
        sent = sum(graph.edges[e]["p_or" if node == min(e) else "p_ex"] for e in graph.edges(node))
        assert sent == pytest.approx(graph.nodes[node]["p"], abs=1e-5)
    for name in ("connectivity_matrix", "bus_connectivity_matrix"):
        matrix = getattr(observation, name)()
        assert np.array_equal(getattr(observation, name)(as_csr_matrix=True).toarray(), matrix)
        assert np.array_equal(matrix, matrix.T)
        assert set(np.unique(matrix)) == {0, 1}


def test_parallel_lines_are_one_edge():
    observation, _ = seen(case_task("case118"))
    grid = observation.grid
    pairs = list(zip(grid.line_or_to_subid, grid.line_ex_to_subid, strict=True))
    double = sorted(
        {tuple(sorted(map(int, pair))) for pair in pairs if pairs.count(pair) + pairs.count(pair[::-1]) > 1}
    )
    assert double
    graph = observation.as_networkx()
    assert graph.number_of_edges() < grid.n_line
    for low, high in double:
        lines = [i for i, pair in enumerate(pairs) if set(pair) == {low, high}]
        edge = graph.edges[low, high]
        assert edge["nb_connected"] == len(lines)
        assert edge["rho"] == observation.rho[lines].max()
        assert edge["thermal_limit"] == pytest.approx(observation.thermal_limit[lines].sum())
        here = [observation.p_or[i] if pairs[i][0] == low else observation.p_ex[i] for i in lines]
        assert edge["p_or"] == pytest.approx(sum(here))


def test_an_added_action_returns_lines_to_their_last_busbars():
    task = case_task("case14")
    _, episode = seen(task)
    line = 2
    sub = int(task.system.grid.line_or_to_subid[line])
    split = np.ones(task.system.grid.sub_info[sub], dtype=int)
    place = int(task.system.grid.line_or_pos_topo_vect[line])
    start = int(task.system.grid.sub_start[sub])
    ends = np.flatnonzero(task.system.grid.topology_layout.line[start : start + len(split)] >= 0)
    split[[place - start, next(i for i in ends if i != place - start)]] = 2
    for keys in ({"set_bus": {"substations_id": (sub, split)}}, {"set_line_status": (line, -1)}):
        seen_first = Observation(task, episode.state) + keys
        parts = split_by_zone(task.system, task.make_action(keys))
        played = {agent: [part] for agent, part in zip(task.zones, parts, strict=True)}
        episode, _ = task.step(episode, rest(task) | played)
        assert np.array_equal(seen_first.topo_vect, episode.state.topology.topo_vect[0])
    off = Observation(task, episode.state)
    assert not off.line_status[line]
    for keys in ({"set_line_status": (line, 1)}, {"change_line_status": [line]}):
        on = off + keys
        assert on.topo_vect[place] == 2
        assert on.line_status.all()
        assert on.line_or_bus[line] == 2
        assert on.bus_connectivity_matrix().shape == (15, 15)
        with pytest.raises(
            AttributeError, match=r"rho is not known here, only .*: it takes a power flow, see simulate"
        ):
            on.rho  # noqa: B018
    assert not off.line_status[line], "asking changes nothing"


def test_state_of():
    observation, _ = seen(case_task("case14"))
    line = observation.state_of(line_id=4)
    assert line["origin"]["theta"] == observation.theta_or[4]
    assert line["extremity"]["theta"] == observation.theta_ex[4]
    assert observation.state_of(substation_id=1)["nb_bus"] == 1
    with pytest.raises(ValueError, match=r"exactly one of .*, not none"):
        observation.state_of()
    with pytest.raises(ValueError, match=r"exactly one of .*'gen_id'.*, not \['load_id', 'gen_id'\]"):
        observation.state_of(load_id=1, gen_id=1)
    with pytest.raises(ValueError, match="line_id: there is no 20; numbers go from 0 to 19"):
        observation.state_of(line_id=20)


def test_forecasts():
    task = case_task("case14")
    observation, episode = seen(task, scenario=3, t_start=5)
    assert np.array_equal(observation.get_forecasted_inj(0).load_p, observation.load_p)
    ahead = task.series.forecast(episode.state.scenario, episode.state.t, 2)
    assert np.array_equal(observation.get_forecasted_inj(2).gen_p, ahead.gen_p[0])
    arrays = observation.get_forecast_arrays()
    assert {len(array) for array in arrays} == {task.series.n_horizon + 1}
    assert np.array_equal(arrays.load_q[2], ahead.load_q[0])
    assert np.array_equal(arrays.maintenance[2], ahead.time_next_maintenance[0] == 0)
    with pytest.raises(ValueError, match="horizon from 0 to"):
        observation.get_forecasted_inj(task.series.n_horizon + 1)


def test_derived_attributes():
    task = case_task("case14")
    observation, _ = seen(task)
    grid = task.system.grid
    room = np.minimum(grid.gen_pmax - observation.gen_p, grid.gen_max_ramp_up)
    assert observation.gen_margin_up == pytest.approx(np.where(grid.gen_renewable, 0, np.maximum(room, 0)))
    assert observation.line_status.all()
    assert observation.line_or_bus.tolist() == [1] * grid.n_line
    assert observation.rho == pytest.approx(observation.a_or / observation.thermal_limit)
    assert observation.sub_topology(1).tolist() == [1] * grid.sub_info[1]
    assert np.array_equal(observation.prod_p, observation.gen_p)
    assert observation.attack_budget == task.system.attack.initial_budget
    with pytest.raises(ValueError, match="no substation"):
        observation.sub_topology(99)
    with pytest.raises(AttributeError, match="did you mean"):
        observation.rhos  # noqa: B018


def test_a_row_of_a_batch():
    task = small_task()
    episode, _ = task.reset([0, 1], t_start=np.array([3, 7]))
    assert Observation(task, episode.state, 1).minute_of_hour == 35


def test_what_if_is_the_next_step_when_the_forecast_comes_true():
    task = small_task()
    observation, episode = seen(task)
    off = task.make_action({"set_line_status": (2, -1)})
    expected, outputs = task.step(episode, rest(task) | {"zone_1": [off]})
    for action in ({"zone_1": off}, {"set_line_status": (2, -1)}, off):
        after, told = observation.simulate(action)
        assert np.array_equal(after.topo_vect, expected.state.topology.topo_vect[0])
        assert np.array_equal(after.rho, expected.state.rho[0])
        assert after.current_step == 1
        assert told.outcome == Outcome.RUNNING
        assert told.reason.tolist() == [0, 0]
        assert told.reward.tolist() == [outputs.rewards[z][0] for z in task.zones]
    assert observation.line_status.all(), "asking changes nothing"
    nothing, _ = observation.simulate()
    assert nothing.line_status.all()
    again, _ = after.simulate(horizon=1)
    assert again.current_step == 2


def test_what_if_reports_what_is_refused_and_what_is_lost():
    task = small_task()
    observation, _ = seen(task)
    _, told = observation.simulate({"redispatch": (0, 50.0)})
    assert told.reason.tolist() == [Reason.REDISPATCH_OUT_OF_RANGE, 0]
    after, told = observation.simulate({"set_bus": {"loads_id": (0, -1)}})
    assert told.outcome == Outcome.LOAD_OR_GEN_DISCONNECTED
    assert after.over
    assert not after.line_status.any()
    assert (after.topo_vect == -1).all()
    with pytest.raises(ValueError, match="episode is over"):
        after.simulate()
    with pytest.raises(ValueError, match="horizon from 0 to 12"):
        observation.simulate(horizon=13)
    with pytest.raises(ValueError, match="zone_1 was given action 999"):
        observation.simulate({"zone_1": 999})
