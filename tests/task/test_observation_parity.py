"""The observation against Grid2Op's, in lock step: every attribute, matrix, graph and forecast of the same states."""

from __future__ import annotations

import json
import warnings
from datetime import timedelta

import numpy as np
import pytest

pytest.importorskip("grid2op")

from experiments.parity_actions import commands_of
from experiments.parity_lock_step import LockStep, Tally
from marlgrid.simulation.state import Outcome
from marlgrid.task.actions import DiscreteActions
from marlgrid.task.attributes import ATTRIBUTES, VECTOR
from marlgrid.task.features import VectorObservation
from marlgrid.task.observation import Observation
from marlgrid.task.reward import reward_from
from marlgrid.task.task import Task

DATE = ("year", "month", "day", "hour_of_day", "minute_of_hour", "day_of_week")
"""Grid2Op's clock is one step ahead of its data (a deliberate difference)."""
OURS = {"attack_remaining", "attack_remaining_sub", "attack_budget", "attack_cooldown", "disc_lines", "outcome"}
PLACES = {
    f"{name}_{side}" for name in ("node_id", "sub_id", "bus", "global_bus", "v", "theta") for side in ("or", "ex")
}
"""Of an edge; there they are the line's, although powers and currents are turned to the node of the lower number."""
COUNTS = {
    "load_id": "n_load", "gen_id": "n_gen", "line_id": "n_line", "storage_id": "n_storage", "substation_id": "n_sub",
}  # fmt: skip
CASES = ("l2rpn_case14_sandbox", "educ_case14_storage")


class Watched(LockStep):
    """The lock step, keeping both observations of every step."""

    def __init__(self, case: str) -> None:
        super().__init__(case)
        self.tally = Tally()
        self.task = Task(
            self.system,
            self.series.series,
            self.stepper.solver,
            DiscreteActions(self.system),
            VectorObservation(self.system, self.series.series),
            reward_from("survival"),
        )
        self.pairs = []

    def keep(self, theirs) -> None:
        self.pairs.append((Observation(self.task, self.state), theirs.copy(), kept(theirs)))

    def differs(self, where, observation) -> bool:
        found = super().differs(where, observation)
        self.keep(observation)
        return found


def kept(theirs) -> dict:
    """What a later step of Grid2Op's environment would overwrite, and answers that ask the environment."""
    bus, rows = theirs.bus_connectivity_matrix(return_lines_index=True)
    forecasts = [theirs.get_forecasted_inj(h) for h in (0, 1)]
    return {
        "connectivity": theirs.connectivity_matrix(),
        "bus": bus,
        "line_rows": rows,
        "p": theirs.flow_bus_matrix(),
        "q": theirs.flow_bus_matrix(active_flow=False),
        "graph": theirs.as_networkx(),
        "elements": theirs.copy().get_elements_graph(),
        "forecasts": [[np.array(part) for part in forecast] for forecast in forecasts],
        "arrays": [np.array(part) for part in theirs.get_forecast_arrays()],
        "states": {
            (key, i): theirs.state_of(**{key: i}) for key, n in COUNTS.items() for i in range(getattr(theirs, n))
        },
        "vector": {name: np.array(getattr(theirs, name)) for name in theirs.attr_list_vect},
    }


SCRIPT = (
    lambda world: {},
    lambda world: {"set_bus": {"substations_id": [(1, [2, 2, 1, 2, 1, 2])]}},
    lambda world: {"set_line_status": [(12, -1)]},
    lambda world: {"redispatch": [(0, 2.0)]},
    lambda world: {"curtail": [(2, float(0.8 * world.state.flow.gen_p[0, 2] / world.system.grid.gen_pmax[2]))]},
    lambda world: {"set_storage": [(0, 3.0)]} if world.system.grid.n_storage else {},
    lambda world: {"set_bus": {"substations_id": [(4, [1, 2, 1, 2, 1])]}},
    lambda world: {"set_line_status": [(12, 1)]},
    lambda world: {"change_bus": {"substations_id": [(1, np.array([True, True, False, True, False, True]))]}},
    lambda world: {},
)
"""Splits two substations and joins one again, opens and closes a line, uses every kind of dispatch the case has."""


@pytest.fixture(scope="module", params=CASES)
def watched(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = Watched(request.param)
        world.keep(world.reset(0))
        for i, keys in enumerate(SCRIPT):
            world.step(f"step {i + 1}", keys(world))
    assert not world.tally.mismatches
    assert len(world.pairs) == len(SCRIPT) + 1
    return world


def same(ours, theirs, what, rtol=1e-3):
    np.testing.assert_allclose(np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float), rtol, rtol, err_msg=what)


def test_every_attribute(watched):
    for t, (ours, theirs, then) in enumerate(watched.pairs):
        names = set(theirs.attr_list_vect)
        assert names == set(VECTOR) - OURS
        for name in [*VECTOR, *ATTRIBUTES]:
            if name in OURS or name in DATE:
                continue
            reference = then["vector"].get(name)
            reference = getattr(theirs, name) if reference is None else reference
            same(getattr(ours, name), np.reshape(reference, np.shape(getattr(ours, name))), f"{name} at step {t}")


def test_the_vector_has_its_order(watched):
    for ours, theirs, then in watched.pairs:
        shared = list(theirs.attr_list_vect)
        assert shared == [name for name in VECTOR if name not in OURS]
        reference = np.concatenate([then["vector"][name].astype(np.float32).reshape(-1) for name in shared])
        same(ours.to_vect()[len(DATE) : len(reference)], reference[len(DATE) :], "vector")


def test_the_clock_is_that_of_the_data(watched):
    for ours, theirs, _ in watched.pairs:
        assert theirs.get_time_stamp() - ours.get_time_stamp() == timedelta(minutes=ours.delta_time)
        assert [getattr(ours, name) for name in DATE[:3]] == list(ours.get_time_stamp().timetuple()[:3])


def test_matrices(watched):
    sizes = set()
    for ours, _, then in watched.pairs:
        assert np.array_equal(ours.connectivity_matrix(), then["connectivity"])
        bus, rows = ours.bus_connectivity_matrix(return_lines_index=True)
        sizes.add(len(bus))
        assert np.array_equal(bus, then["bus"])
        on = ours.line_status
        for mine, reference in zip(rows, then["line_rows"], strict=True):
            assert np.array_equal(mine[on], reference[on])
            assert (mine[~on] == -1).all()
        for quantity, active in (("p", True), ("q", False)):
            matrix, of = ours.flow_bus_matrix(active_flow=active)
            same(matrix, then[quantity][0], f"flow matrix {quantity}")
            for mine, reference in zip(of[:3], then[quantity][1][:3], strict=True):
                assert np.array_equal(mine, reference)
    assert len(sizes) > 1, "some substation was split"
    assert not all(pair[0].line_status.all() for pair in watched.pairs), "some line was out"


def test_energy_graph(watched):
    for ours, _, then in watched.pairs:
        graph, reference = ours.as_networkx(), then["graph"]
        assert sorted(graph.edges) == sorted(reference.edges)
        for node, attributes in reference.nodes.items():
            assert graph.nodes[node].keys() == attributes.keys()
            for name, value in attributes.items():
                same(graph.nodes[node][name], value, f"node {node} {name}", 2e-3)
        for edge, attributes in reference.edges.items():
            mine = graph.edges[edge]
            assert set(mine) - {"status"} == set(attributes) - {"p"}
            for name in set(attributes) - {"p", *PLACES}:
                same(mine[name], attributes[name], f"edge {edge} {name}", 2e-3)
            for side, node in zip(("or", "ex"), sorted(edge), strict=True):
                here = graph.nodes[node]
                told = (mine[f"{name}_{side}"] for name in ("node_id", "sub_id", "bus", "global_bus"))
                assert [*told] == [node, here["sub_id"], here["local_bus_id"], here["global_bus_id"]]
                assert [mine[f"v_{side}"], mine[f"theta_{side}"]] == pytest.approx([here["v"], here["theta"]])


def test_elements_graph(watched):
    for ours, _, then in watched.pairs:
        graph, reference = ours.get_elements_graph(), then["elements"]
        assert sorted(graph.nodes) == sorted(reference.nodes)
        assert sorted(graph.edges) == sorted(reference.edges)
        for node, attributes in reference.nodes.items():
            if attributes["type"] == "gen":  # there, the graph zeroes it
                attributes = attributes | {"p_delta": then["vector"]["gen_p_delta"][attributes["id"]]}
            compare(graph.nodes[node], attributes, f"node {node}")
        for edge, attributes in reference.edges.items():
            compare(graph.edges[edge], attributes, f"edge {edge}")


def compare(ours, theirs, what):
    for name, value in theirs.items():
        if isinstance(value, str):
            assert ours[name] == value, (what, name)
        else:
            same(ours[name], value, f"{what} {theirs.get('type')} {name}", 2e-3)


def test_state_of(watched):
    for ours, _, then in watched.pairs:
        for (key, i), reference in then["states"].items():
            mine = ours.state_of(**{key: i})
            assert mine.keys() == reference.keys()
            if key == "line_id":
                assert [mine[end]["theta"] for end in ("origin", "extremity")] == [ours.theta_or[i], ours.theta_ex[i]]
                for end, part in (("origin", "or"), ("extremity", "ex")):  # there, the two angles are mixed up
                    reference[end]["theta"] = then["vector"][f"theta_{part}"][i]
            compared = [(mine, reference)]
            while compared:
                here, there = compared.pop()
                assert here.keys() == there.keys()
                for name, value in there.items():
                    if isinstance(value, dict):
                        compared.append((here[name], value))
                    else:
                        same(here[name], value, f"{key} {i} {name}")


def test_forecasts(watched):
    for ours, _, then in watched.pairs:
        for horizon in (0, 1):
            for name, mine, reference in zip(
                ours.get_forecasted_inj()._fields,
                ours.get_forecasted_inj(horizon),
                then["forecasts"][horizon],
                strict=True,
            ):
                same(mine, reference, f"{name} {horizon} ahead")
        arrays = ours.get_forecast_arrays()
        for name, mine, reference in zip(arrays._fields, arrays, then["arrays"], strict=True):
            same(mine, reference, name)


def test_differences(watched):
    for (before, theirs_before, _), (after, theirs, _) in zip(watched.pairs, watched.pairs[1:], strict=False):
        _, named = after.where_different(before)
        assert "current_step" in named
        for name in ("topo_vect", "storage_charge", "time_before_cooldown_sub", "line_status", "target_dispatch"):
            changed = not np.allclose(getattr(theirs_before, name), getattr(theirs, name), atol=1e-3)
            assert (name in named) == changed, name


def test_an_action_added(watched):
    """On lines that are in service: a reconnection is on the last busbars here, on the first there."""
    grid = watched.system.grid
    space = watched.env.action_space
    for ours, theirs, _ in watched.pairs[1:4]:
        for keys in (
            {"set_line_status": [(8, -1)]},
            {"change_bus": {"substations_id": [(4, [True, False] * 10)]}},
            {"set_bus": {"substations_id": [(4, [2, 1, 2, 1, 2])]}},
        ):
            if "change_bus" in keys:
                keys = {"change_bus": {"substations_id": [(4, ([True, False] * 10)[: grid.sub_info[4]])]}}
            action = space(keys)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reference = theirs.add_act(action, issue_warn=False)
                reference._is_done = False  # else it answers as after a game over
            for mine in (ours + keys, ours.add_act(commands_of(action))):
                assert np.array_equal(mine.topo_vect, reference.topo_vect), keys
                assert np.array_equal(mine.line_status, reference.line_status)
                assert np.array_equal(mine.connectivity_matrix(), reference.connectivity_matrix())
                assert np.array_equal(mine.bus_connectivity_matrix(), reference.bus_connectivity_matrix())


def test_after_a_game_over(watched):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        action = watched.env.action_space({"set_bus": {"loads_id": [(10, -1)]}})
        before = watched.pairs[-1][0]
        theirs, _, done, _ = watched.env.step(action)
        ours, told = before.simulate(commands_of(action))
    assert done
    assert told.outcome == Outcome.LOAD_OR_GEN_DISCONNECTED
    for name in [*VECTOR, *ATTRIBUTES]:
        if name not in OURS and name not in DATE:
            same(getattr(ours, name), np.reshape(getattr(theirs, name), np.shape(getattr(ours, name))), name)
    assert np.array_equal(ours.connectivity_matrix(), theirs.connectivity_matrix())
    assert np.array_equal(ours.bus_connectivity_matrix(), theirs.bus_connectivity_matrix())
    for mine, reference in zip(ours.flow_bus_matrix()[1], theirs.flow_bus_matrix()[1], strict=True):
        assert np.array_equal(mine, reference)
    assert dict(ours.as_networkx().nodes) == dict(theirs.as_networkx().nodes)
    json.dumps(ours.to_json())
