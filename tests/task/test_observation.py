"""The full observation: attributes, read-only, and the question "what if?"."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from marlgrid.simulation.judge import Reason
from marlgrid.simulation.state import Outcome
from marlgrid.task.observation import Observation
from tests.task.tasks import case_task, rest, small_task


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


def test_every_attribute_reads_and_none_can_be_written():
    observation, _ = seen(case_task("case14"))
    arrays = 0
    for name in dir(observation):
        if name.startswith("__") or name in (
            "state",
            "task",
            "grid",
            "simulate",
            "sub_topology",
            "get_time_stamp",
            "_joint",
        ):
            continue
        value = getattr(observation, name)
        if isinstance(value, np.ndarray):
            arrays += 1
            assert not value.flags.writeable, name
            assert np.isfinite(np.asarray(value, dtype=float)).all(), name
    assert arrays > 50
    before = observation.rho.copy()
    with pytest.raises(ValueError, match="read-only"):
        observation.rho[0] = 3.0
    assert np.array_equal(observation.state.rho[0], before)


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
