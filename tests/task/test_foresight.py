"""What if, over any horizon: against Grid2Op, against the steps themselves, and as an environment to play in."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

import marlgrid
from marlgrid.model.foreseen import Foreseen
from marlgrid.task.foresight import waited
from marlgrid.task.observation import Observation
from tests.task.tasks import case_task

HORIZONS = (0, 1, 2, 4, 12)
RULES = {
    "nb_timestep_cooldown_line": 3,
    "nb_timestep_cooldown_sub": 3,
    "nb_timestep_overflow_allowed": 2,
    "nb_timestep_reconnection": 10,
}


class Perfect:
    """A series whose forecasts are its rows to come, as Grid2Op's ``PerfectForecastHandler`` has it."""

    n_horizon = 12

    def __init__(self, series) -> None:
        self.series = series

    def __getattr__(self, name):
        return getattr(self.series, name)

    def forecast(self, scenario, t, horizon):
        return self.series.at(scenario, t + horizon)


def grid2op_world():
    import grid2op
    from grid2op.Action import PlayableAction
    from grid2op.Chronics import FromHandlers
    from grid2op.Chronics.handlers import CSVHandler, PerfectForecastHandler
    from grid2op.Parameters import Parameters
    from lightsim2grid import LightSimBackend

    rules = Parameters()
    for name, value in RULES.items():
        setattr(rules, name.upper(), value)
    kinds = {"gen_p": "prod_p", "gen_v": "prod_v", "load_p": "load_p", "load_q": "load_q"}
    handlers = {f"{ours}_handler": CSVHandler(theirs) for ours, theirs in kinds.items()}
    handlers |= {
        f"{ours}_for_handler": PerfectForecastHandler(f"{theirs}_forecasted") for ours, theirs in kinds.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return grid2op.make(
            "educ_case14_storage",
            test=True,
            backend=LightSimBackend(),
            action_class=PlayableAction,
            param=rules,
            data_feeding_kwargs={
                "gridvalueClass": FromHandlers, "h_forecast": tuple(range(5, 65, 5)), **handlers,
            },
        )  # fmt: skip


@pytest.fixture(scope="module")
def worlds():
    """Both at the same state: a line opened a step ago, its limit so low that another is overloaded."""
    pytest.importorskip("grid2op")
    theirs = grid2op_world()
    theirs.set_id(0)
    observation = theirs.reset()
    limit = theirs.get_thermal_limit()
    limit[np.argmax(observation.rho)] *= 0.95 * observation.rho.max()
    theirs.set_thermal_limit(limit)
    case = marlgrid.load_case("educ_case14_storage", zones=1, parameters=RULES)
    system = replace(case.system, grid=replace(case.system.grid, thermal_limit=np.asarray(limit, dtype=float)))
    task = marlgrid.make_task((system, Perfect(case.series)))
    theirs.set_id(0)
    theirs.reset()
    episode, _ = task.reset(0, scenario=0)
    off = {"set_line_status": [(3, -1)]}
    episode, _ = task.step(episode, {"zone_0": [task.make_action(off)]})
    seen, *_ = theirs.step(theirs.action_space(off))
    assert seen.rho.max() > 1
    return task, Observation(task, episode.state), theirs, seen


ACTIONS = (
    {},
    {"set_line_status": [(3, 1)]},
    {"set_bus": {"substations_id": [(1, [2, 2, 1, 2, 1, 2])]}},
    {"redispatch": [(0, 2.0)]},
)


NOT_AS_THERE = ("time_next_maintenance", "current_step", "max_step", "gen_p_delta")
"""There any horizon is one step later, and horizon 0 takes what the slack generator made for its schedule."""


@pytest.mark.parametrize("horizon", HORIZONS)
def test_every_horizon_is_as_in_grid2op(worlds, horizon):
    from experiments.parity_compare import differences

    _, ours, theirs, seen = worlds
    trips = 0
    for keys in ACTIONS:
        reference, _, done, info = seen.simulate(theirs.action_space(keys), time_step=horizon)
        mine, told = ours.simulate(keys, horizon)
        assert bool(told.reason.any()) == (info["is_illegal"] or info["is_ambiguous"]), keys
        assert mine.over == done, keys
        trips += (told.disc_lines >= 0).sum()
        if not done:
            assert not differences(mine, reference, NOT_AS_THERE), keys
            assert (reference.get_time_stamp() - mine.time_stamp).total_seconds() == 300  # their clock is a step ahead
    assert (trips > 0) == (horizon >= 2), "overloads go on while time passes"


def test_answers_are_asked_again_as_in_grid2op(worlds):
    from experiments.parity_compare import differences

    _, ours, theirs, seen = worlds
    nothing = theirs.action_space({})
    for horizons in ((1, 1, 1), (2, 1), (4, 2), (0, 3)):
        mine, reference = ours, seen
        for horizon in horizons:
            mine, _ = mine.simulate(None, horizon)
            reference, _, done, _ = reference.simulate(nothing, time_step=horizon)
            assert not done
            assert not differences(mine, reference, NOT_AS_THERE), horizons
            assert (reference.get_time_stamp() - mine.time_stamp).total_seconds() == 300
    with pytest.raises(ValueError, match="horizon from 0 to 10"):
        mine.simulate(horizon=11)
    assert mine.get_forecast_arrays().load_p.shape[0] == 11


def test_the_forecast_environment_is_as_in_grid2op(worlds):
    from experiments.parity_compare import differences

    task, _, theirs, seen = worlds
    env = marlgrid.parallel_env(task)
    env.reset(options={"scenario": 0})
    env.step({"zone_0": env.make_action({"set_line_status": [(3, -1)]})})
    ahead, reference = env.observe_grid().get_forecast_env(), seen.get_forecast_env()
    ahead.reset()
    reference.reset()
    for keys in ACTIONS[2:4]:
        ahead.step({"zone_0": ahead.make_action(keys)})
        there, _, done, _ = reference.step(theirs.action_space(keys))
        assert not done
        assert not differences(ahead.observe_grid(), there, NOT_AS_THERE)


def test_what_is_foreseen_is_what_was_known_at_first():
    """The series' own forecasts change from row to row: a second question must not see the later ones."""
    task = case_task("case14")
    episode, _ = task.reset(0, scenario=1, t_start=100)
    observation = Observation(task, episode.state)
    first, _ = observation.simulate()
    second, _ = first.simulate()
    state = episode.state
    known = task.series.forecast(state.scenario, state.t, 2)
    later = task.series.forecast(state.scenario, state.t + 1, 1)
    assert not np.array_equal(known.load_p, later.load_p)
    assert np.array_equal(second.state.injections.load_p, known.load_p)
    assert np.array_equal(first.get_forecasted_inj(1).load_p, known.load_p[0])
    with pytest.raises(ValueError, match="horizon from 0 to 11"):
        first.get_forecasted_inj(12)


def test_counters_run_on_while_time_passes():
    task = case_task("case14")
    state = task.reset(0)[0].state
    counters = state.counters._replace(time_before_cooldown_line=np.full_like(state.counters.timestep_overflow, 3))
    rho = state.rho.copy()
    rho[0, 2] = 1.5
    later = waited(task.system, state._replace(counters=counters, rho=rho), 2)
    assert (later.counters.time_before_cooldown_line == 1).all()
    assert later.counters.timestep_overflow[0, 2] == later.counters.timestep_protection_engaged[0, 2] == 2
    assert later.counters.timestep_overflow.sum() == 2
    assert (waited(task.system, later, 5).counters.time_before_cooldown_line == 0).all()
    assert later.t == state.t


def test_a_forecast_can_be_played_by_a_team():
    env = marlgrid.parallel_env("case14", opponent="agent", max_steps=50)
    env.reset(seed=3)
    env.step({**dict.fromkeys(env.agents, 0)})
    now = env.snapshot()
    observation = env.observe_grid()
    ahead = observation.get_forecast_env()
    line = int(np.flatnonzero(env.task.system.zones.may_switch[0])[0])
    plan = [ahead.make_action({"set_line_status": [(line, -1)]}), 0]
    for _ in range(2):
        vectors, infos = ahead.reset()
        assert ahead.agents == [f"zone_{z}" for z in range(3)]
        until = vectors["zone_1"] != env.task.observation.observe(now.state)["zone_1"][0]
        assert np.flatnonzero(until).tolist() == [len(until) - 1], "only the time left differs"
        assert infos["zone_0"]["action_mask"].any()
        foreseen = observation
        for action in plan:
            ahead.step({"zone_0": action, "zone_1": 0, "zone_2": 0})
            foreseen, _ = foreseen.simulate({"zone_0": action})
            assert np.array_equal(ahead.current.rho, foreseen.state.rho)
            assert ahead.observe_grid().where_different(foreseen)[1] == ["max_step"]
    ahead.reset()
    while ahead.agents:
        *_, truncated, _ = ahead.step(dict.fromkeys(ahead.agents, 0))
    assert truncated["zone_0"]
    assert ahead.current.t[0] - now.state.t[0] == env.task.series.n_horizon
    assert env.snapshot() is now, "the episode itself goes on where it was"
    with pytest.raises(ValueError, match="takes no options"):
        ahead.reset(options={"scenario": 1})
    with pytest.raises(ValueError, match="observe_grid"):
        Observation(env.task, now.state).get_forecast_env()


def test_a_forecast_can_be_played_alone():
    env = marlgrid.gym_env("case14")
    env.reset(seed=0)
    env.step(0)
    ahead = env.observe_grid().get_forecast_env()
    vector, _ = ahead.reset()
    assert vector in ahead.observation_space
    expected, _ = env.observe_grid().simulate()
    ahead.step(0)
    assert ahead.observe_grid().where_different(expected)[1] == ["max_step"]


def test_own_forecasts():
    env = marlgrid.parallel_env("case14", max_steps=20)
    env.reset(seed=3)
    env.step({**dict.fromkeys(env.agents, 0)})
    now = env.observe_grid()
    grown = now.load_p * np.linspace(1.0, 1.02, 6)[1:, None]
    ahead = now.get_env_from_external_forecasts(load_p=grown)
    ahead.reset()
    start = ahead.observe_grid()
    assert start.where_different(now)[1] == ["max_step"]
    for row in grown:
        ahead.step({**dict.fromkeys(ahead.agents, 0)})
        assert ahead.current.injections.load_p[0] == pytest.approx(row, rel=1e-6)
        assert np.allclose(ahead.current.injections.gen_p, env.current.injections.gen_p)
    assert not ahead.agents
    assert ahead.observe_grid().time_stamp - now.time_stamp == timedelta(minutes=5 * now.delta_time)
    with pytest.raises(ValueError, match=r"load_p has shape \(5, 3\), give \(5, 11\)"):
        now.get_env_from_external_forecasts(load_p=grown[:, :3])
    with pytest.raises(ValueError, match="equally long"):
        now.get_env_from_external_forecasts(load_p=grown, load_q=grown[1:])
    with pytest.raises(ValueError, match="missing or infinite"):
        now.get_env_from_external_forecasts(load_p=grown * np.nan)


def test_own_forecasts_keep_planned_maintenance_and_outages():
    task = case_task("case14")
    state = task.reset(0)[0].state
    line = np.arange(task.system.grid.n_line)
    injections = state.injections._replace(
        time_next_maintenance=np.where(line == 2, 2, -1).astype(np.int32)[None],
        duration_next_maintenance=np.where(line == 2, 3, 0).astype(np.int32)[None],
        hazard_duration=np.where(line == 5, 3, 0).astype(np.int32)[None],
    )
    played = []
    observation = Observation(task, state._replace(injections=injections), play=lambda *given: played.append(given))
    for planned in (True, False):
        observation.get_env_from_external_forecasts(
            load_q=np.repeat(observation.load_q[None], 7, axis=0), with_maintenance=planned
        )
    rows = np.arange(7)
    (with_it, _), (without, _) = ((task.series, start) for task, start in played)
    at = with_it.at(np.zeros(7, dtype=int), rows)
    assert (at.time_next_maintenance[:, 2] == 0).tolist() == [False, False, True, True, True, False, False]
    assert at.hazard_duration[:, 5].tolist() == [3, 2, 1, 0, 0, 0, 0]
    assert (without.at(np.zeros(7, dtype=int), rows).time_next_maintenance == -1).all()


def test_the_foreseen_series():
    task = case_task("case14")
    series = Foreseen(task.series, 7)
    one = np.array([1])
    assert np.array_equal(series.at(one, np.array([7])).load_p, task.series.at(one, np.array([7])).load_p)
    assert np.array_equal(series.at(one, np.array([9])).gen_p, task.series.forecast(one, np.array([7]), 2).gen_p)
    several = series.at(np.array([1, 1, 2]), np.array([8, 7, 9]))
    assert np.array_equal(several.load_p[0], series.at(one, np.array([8])).load_p[0])
    assert np.array_equal(several.load_p[2], series.at(np.array([2]), np.array([9])).load_p[0])
    assert series.n_rows(1) == 8 + task.series.n_horizon
    for row in (6, 8 + task.series.n_horizon):
        with pytest.raises(ValueError, match="are foreseen"):
            series.at(one, np.array([row]))


def test_nothing_to_foresee():
    env = marlgrid.parallel_env("case14", max_steps=1)
    env.reset(seed=0)
    env.step({**dict.fromkeys(env.agents, 0)})
    with pytest.raises(ValueError, match="episode is over"):
        env.observe_grid().get_forecast_env()
    task = case_task("case14")
    observation = Observation(task, task.reset(0)[0].state, play=lambda *_: None)
    for _ in range(task.series.n_horizon):
        observation, _ = observation.simulate()
    with pytest.raises(ValueError, match="nothing is foreseen"):
        observation.get_forecast_env()
