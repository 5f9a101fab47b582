"""Episode scores: costs against Grid2Op's on the same episodes, and the scale."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from agents.do_nothing import DoNothing
from experiments.evaluation import Starts
from experiments.score import Marks, costs, main, marks, points, scores
from experiments.score_attention import usage_points
from marlgrid.env.registry import make_task

CASE, N_STEP = "l2rpn_case14_sandbox", 40


def starts(t_start: int = 0, max_steps: int = N_STEP) -> Starts:
    return Starts(np.array([0, 0]), np.array([0, 1]), np.array([t_start, t_start]), max_steps)


@pytest.fixture(scope="module")
def task():
    pytest.importorskip("grid2op")
    return make_task(CASE, zones=2, opponent=None)


def grid2ops_cost(scenario: int, year: int, keys: dict) -> tuple[float, float, int]:
    """Cost of the steps played after one action, load of all steps times the highest cost, and the steps played."""
    grid2op = pytest.importorskip("grid2op")
    lightsim2grid = pytest.importorskip("lightsim2grid")
    name = {2020: "L2RPNSandBoxScore", 2022: "L2RPNWCCI2022ScoreFun"}[year]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = grid2op.make(
            CASE,
            test=True,
            backend=lightsim2grid.LightSimBackend(),
            other_rewards={"cost": getattr(grid2op.Reward, name)},
        )
    env.set_max_iter(N_STEP)
    env.reset(options={"time serie id": scenario})
    cost, n, done = 0.0, 0, False
    while not done:
        _, _, done, info = env.step(env.action_space(keys if n == 0 else {}))
        cost += float(info["rewards"]["cost"])
        n += 1
    loads = env.chronics_handler.real_data.data.load_p[1 : N_STEP + 1].sum()
    return cost, float(loads * env.gen_cost_per_MW.max()), n


@pytest.mark.parametrize("year", [2020, 2022])
def test_costs_are_grid2ops(task, year):
    ours = costs(task, DoNothing(), starts(), year)
    theirs = [grid2ops_cost(scenario, year, {}) for scenario in (0, 1)]
    assert [n for _, _, n in theirs] == [N_STEP, N_STEP]
    assert ours == pytest.approx([cost for cost, _, _ in theirs], rel=1e-4)
    assert marks(task, starts(), year).worst == pytest.approx([worst for _, worst, _ in theirs], rel=1e-5)


def test_a_game_over_costs_the_rest(task):
    class Cutter(DoNothing):
        """Takes a load off the grid."""

        def act(self, task, episode, outputs, memory):
            nothing, _ = super().act(task, episode, outputs, memory)
            owner = f"zone_{task.system.zones.load[0]}"
            cut = task.make_action({"set_bus": {"loads_id": [(0, -1)]}})
            return nothing | {owner: [cut] * episode.state.n_env}, memory

    ours = costs(task, Cutter(), starts())
    cost, worst, n = grid2ops_cost(0, 2020, {"set_bus": {"loads_id": [(0, -1)]}})
    assert (cost, n) == (1.0, 1), "the step of a game over costs 1 there"
    first = task.series.at(np.array([0]), np.array([1])).load_p.sum() * task.system.grid.gen_cost_per_mw.max()
    assert ours[0] == pytest.approx(1.0 + worst - first, rel=1e-5)
    assert costs(task, Cutter(), starts(), unserved=False).tolist() == [1.0, 1.0]


def test_doing_nothing_scores_0(task):
    given = marks(task, starts(max_steps=10))
    assert given.no_trips == pytest.approx(given.do_nothing), "nothing trips in these steps"
    assert scores(given.do_nothing, given) == pytest.approx([0, 0])


def test_scale():
    given = Marks(*(np.full(5, mark) for mark in (10.0, 50.0, 100.0)))
    cost = np.array([0.0, 10.0, 30.0, 75.0, 200.0])
    assert scores(cost, given) == pytest.approx([100, 80, 40, -50, -100])
    same = Marks(*(np.full(3, mark) for mark in (50.0, 50.0, 100.0)))
    assert scores(np.array([25.0, 50.0, 75.0]), same) == pytest.approx([50, 0, -50])


def test_what_is_no_year(task):
    with pytest.raises(ValueError, match="no score of 1999"):
        costs(task, DoNothing(), starts(), 1999)


def test_the_assistant_tracks_weigh_costs_and_warnings():
    """Survived without a word: the warnings' parts are at their best, and nothing was curtailed."""
    warned = make_task(
        "case5", opponent=None, attention={"alarm_areas": {"all": ("0_1_0",)}, "alert_lines": ("0_1_0",)}
    )
    few = starts(max_steps=4)
    of_2021, of_2023 = (points(warned, DoNothing(), few, year) for year in (2021, 2023))
    assert list(of_2021) == ["score", "operation", "alarm"]
    assert list(of_2023) == ["score", "operation", "assistant", "renewables"]
    assert of_2021["alarm"].tolist() == of_2023["assistant"].tolist() == [100, 100]
    assert of_2021["score"] == pytest.approx(0.7 * of_2021["operation"] + 30)
    assert of_2023["score"] == pytest.approx(0.6 * of_2023["operation"] + 25 + 0.15 * of_2023["renewables"])
    assert of_2023["renewables"] == pytest.approx([100, 100], abs=1)


def test_points_for_the_use_of_renewables():
    assert usage_points(np.array([50.0, 80.0, 100.0])) == pytest.approx([-1, 0, 1])
    assert (np.diff(usage_points(np.arange(0.0, 101.0, 5.0))[1:]) > 0)[8:].all()


def test_command_line(capsys):
    main(["--case", "case5", "--agent", "do-nothing", "--episodes", "2", "--steps", "6"])
    assert "mean score" in capsys.readouterr().out
