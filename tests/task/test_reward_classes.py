"""Each reward class on states written down by hand, the ranges, and the table of docs/rewards.md."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from marlgrid.simulation.action import do_nothing
from marlgrid.simulation.state import Outcome
from marlgrid.task.reward import REWARDS, CombinedScaledReward, NegativeMean, range_of, reward_from, values_of
from marlgrid.task.rewards_economy import L2RPNSandBoxScore, L2RPNWCCI2022ScoreFun
from marlgrid.task.rewards_episode import FlatReward, SurvivalReward
from marlgrid.task.rewards_lines import CloseToOverflowReward, N1Reward
from marlgrid.task.rewards_topology import BridgeReward
from tests.simulation.small import GivenCurrents
from tests.task.test_reward import DONE, LOST, REFUSED, SYSTEM, ruling, state, value

DOCS = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text()
GRID = SYSTEM.grid


def late(outcome=Outcome.RUNNING, t: int = 5):
    """Step ``t`` of 50."""
    return state(outcome)._replace(t=np.array([t], dtype=np.int32))


def both(name: str, *seen) -> tuple[list[float], list[float]]:
    """Team's and zones' values."""
    return value(reward_from(name), *seen), value(reward_from(name, "zone"), *seen)


def test_course_of_the_episode():
    assert value(reward_from("constant"), LOST) == [0, 0]
    assert value(FlatReward(per_timestep=3.0), late()) == [3, 3]
    assert value(reward_from("increasing_flat"), late()) == [5, 5]
    assert value(reward_from("increasing_flat"), late(Outcome.DIVERGED)) == [0, 0]
    assert value(reward_from("episode_duration"), late()) == [0, 0]
    assert value(reward_from("episode_duration"), late(Outcome.DIVERGED)) == [0.1, 0.1]
    assert value(reward_from("episode_duration"), late(Outcome.TIME_LIMIT, 50)) == [1, 1]
    assert value(reward_from("gameplay"), state(), REFUSED) == [-0.5, 1]
    assert value(reward_from("gameplay"), LOST, REFUSED) == [-1, -1]


def test_squared_margin():
    team, zones = both("squared_margin", state())
    assert team == pytest.approx([0.81 + 0.36 + 0.09] * 2)
    assert zones == pytest.approx([0.81 + 0.36, 1.26])
    assert value(reward_from("squared_margin"), state(out=[3])) == pytest.approx([2.26, 2.26])
    assert value(reward_from("squared_margin"), DONE) == [0, 0]


def test_close_to_overflow():
    near = state()._replace(rho=np.array([[0.949, 0.1, 0.951, 1.2]]))
    assert both("close_to_overflow", near) == (pytest.approx([0.6, 0.6]), pytest.approx([0.8, 0.6]))
    assert value(CloseToOverflowReward(max_lines=1), near) == [0, 0]
    assert value(reward_from("close_to_overflow"), near, REFUSED) == pytest.approx([0, 0.6])
    large = near._replace(thermal_limit=np.full((1, 4), 400.0))
    alike = values_of(CloseToOverflowReward(), SYSTEM, large, do_nothing(1, 2), ruling(), large)
    assert alike[0].tolist() == pytest.approx([0.8, 0.8]), "0.951 is not close on a line of 400 A"


def test_lines_reconnected():
    assert both("lines_reconnected", state(out=[2])) == ([0.5, 0.5], [1, 0.5])
    assert value(reward_from("lines_reconnected"), state(out=[0, 1, 2])) == [0, 0]
    waiting = state(out=[2])
    cooldown = np.array([[0, 0, 3, 0]], dtype=np.int32)
    waiting = waiting._replace(counters=waiting.counters._replace(time_before_cooldown_line=cooldown))
    assert value(reward_from("lines_reconnected"), waiting) == [1, 1]


def test_distance():
    assert both("distance", state(out=[2])) == (pytest.approx([12 / 14] * 2), pytest.approx([1, 8 / 10]))
    topo_vect = np.ones((1, GRID.dim_topo), dtype=np.int32)
    topo_vect[0, GRID.gen_pos_topo_vect[0]] = 2
    moved = state()._replace(topology=state().topology._replace(topo_vect=topo_vect))
    assert both("distance", moved) == (pytest.approx([13 / 14] * 2), pytest.approx([3 / 4, 1]))


def test_bridges():
    assert both("bridge", state()) == ([1, 1], [1, 1])
    # lines 0 and 3 are one connection; with line 1 out, the other bridge is inside the second zone
    broken = state(out=[1])
    assert both("bridge", broken) == ([0, 0], [0, 0])
    assert value(BridgeReward(max_pen_gte=4.0), broken) == [0.5, 0.5]
    assert value(BridgeReward("zone", max_pen_gte=4.0), broken) == [0.75, 0.5]
    assert value(BridgeReward(min_pen_lte=2.0, max_pen_gte=3.0), broken) == [1, 1]
    assert value(BridgeReward(max_pen_gte=4.0), broken, REFUSED) == [0, 0.5]


def test_n1():
    solver = GivenCurrents(SYSTEM, current=[10, 40, 70, 120], extra=20)
    assert value(N1Reward(line=3, solver=solver), state()) == pytest.approx([0.9, 0.9])
    assert value(N1Reward("zone", "line_3", solver), state()) == pytest.approx([0.4, 0.9])
    assert value(N1Reward(line=0, solver=solver), state(out=[0])) == pytest.approx([1.2, 1.2])
    assert value(N1Reward(line=3, solver=solver), DONE) == [0, 0]
    assert value(N1Reward(line=3, solver=solver), LOST) == [0, 0]
    split = state(out=[1])
    assert value(N1Reward(line=2), split) == [-1, -1], "the load behind line 2 is cut off"
    with pytest.raises(ValueError, match="no line 9; give a number below 4"):
        value(N1Reward(line=9), state())
    with pytest.raises(ValueError, match="no line 'line_x'"):
        value(N1Reward(line="line_x"), state())


def test_cost():
    hour, price = 5 / 60, 30.0
    before = state()
    dispatch = before.dispatch._replace(scheduled_p=before.dispatch.scheduled_p - [[0.0, 0.0, 6.0]])
    after = before._replace(dispatch=dispatch)

    def cost(reward, first=before, last=after):
        return values_of(reward, SYSTEM, first, do_nothing(1, 2), ruling(), last)[0].tolist()

    assert cost(L2RPNSandBoxScore()) == pytest.approx([price * hour * (10 + 5 + 4 + 6)] * 2)
    assert cost(L2RPNSandBoxScore(), after, before) == pytest.approx([price * hour * (10 + 5 + 4 - 6)] * 2)
    assert cost(L2RPNSandBoxScore(), after, after) == pytest.approx([price * hour * (10 + 5 + 4)] * 2)
    zones = [price * hour * (1.5 + 2), price * hour * (2.5 + 3 + 4 + 6)]
    assert cost(L2RPNSandBoxScore("zone")) == pytest.approx(zones)
    weighted = L2RPNSandBoxScore(alpha_loss=0.0, alpha_redisp=2.0, alpha_storage=3.0, alpha_curtailment=4.0)
    assert cost(weighted) == pytest.approx([price * hour * (2 * 5 + 3 * 4 + 4 * 6)] * 2)
    assert cost(L2RPNWCCI2022ScoreFun()) == pytest.approx([hour * (price * (10 + 5 + 6) + 10 * 4)] * 2)
    assert cost(L2RPNSandBoxScore(), before, LOST) == [1, 1]


def test_scaled():
    scaled = CombinedScaledReward(reward_from({"gameplay": 1.0, "flat": 1.0}))
    assert value(scaled, state(), REFUSED) == pytest.approx([0.0, 0.5])
    assert value(scaled, LOST) == [-0.5, -0.5]
    assert value(CombinedScaledReward(scaled.reward, 0.0, 3.0), state(), REFUSED) == pytest.approx([1.5, 3.0])
    assert value(CombinedScaledReward(reward_from({"flat": -1.0})), state()) == [-0.5, -0.5]
    assert value(CombinedScaledReward(reward_from("increasing_flat")), late()) == pytest.approx([-0.4, -0.4])


def test_what_cannot_be_scaled():
    with pytest.raises(ValueError, match="has no range"):
        CombinedScaledReward(lambda *_: np.zeros(1))
    with pytest.raises(ValueError, match="cannot be scaled"):
        value(CombinedScaledReward(reward_from("constant")), state())
    with pytest.raises(ValueError, match="cannot be scaled"):
        value(CombinedScaledReward(N1Reward()), state())
    with pytest.raises(ValueError, match="does not tell its range"):
        value(CombinedScaledReward(reward_from({len: 1.0})), state())
    with pytest.raises(ValueError, match="must be below"):
        CombinedScaledReward(FlatReward(), 1.0, 1.0)
    with pytest.raises(ValueError, match="must be below"):
        BridgeReward(min_pen_lte=2.0)
    with pytest.raises(ValueError, match="above 0"):
        CloseToOverflowReward(max_lines=0)


def test_ranges():
    assert range_of(SurvivalReward(step=2.0), SYSTEM) == (-10, 2)
    assert range_of(reward_from({"flat": 2.0, "gameplay": -3.0}), SYSTEM) == (-3, 5)
    assert range_of(NegativeMean(SurvivalReward()), SYSTEM) == (-1, 10)
    assert range_of(reward_from("l2rpn", "zone"), SYSTEM) == (0, 4)
    assert range_of(reward_from("increasing_flat"), SYSTEM) == (0, math.inf)
    assert range_of(CombinedScaledReward(FlatReward(), -2.0, 2.0), SYSTEM) == (-2, 2)


@pytest.mark.parametrize("name", [name for name in REWARDS if not name.startswith("L2RPN") or name == "L2RPNReward"])
@pytest.mark.parametrize("scope", ["team", "zone"])
def test_values_are_in_range(name, scope):
    reward = reward_from(name, scope)
    lowest, highest = range_of(reward, SYSTEM, 50)
    seen = [state(), state(out=[1]), late(), LOST, late(Outcome.TIME_LIMIT, 50), state(Outcome.ISLANDED, out=[0, 1, 3])]
    for after in seen:
        for asked in (ruling(), REFUSED):
            assert all(lowest <= got <= highest for got in value(reward, after, asked)), after.outcome


def table() -> dict[str, list[str]]:
    """Rows of the first table of the document: name -> cells."""
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", DOCS, flags=re.MULTILINE)
    return {name: [cell.strip() for cell in re.split(r"(?<!\\)\|", rest)] for name, rest in rows}


def test_the_table_has_every_reward():
    assert list(table()) == list(REWARDS)
    assert {len(cells) for cells in table().values()} == {6}


@pytest.mark.parametrize("name", list(REWARDS))
def test_the_table_has_the_range(name):
    cost = GRID.gen_cost_per_mw
    symbols = {"n_line": GRID.n_line, "n_step": 50, "inf": math.inf, "h": SYSTEM.delta_time / 60}
    symbols |= {"c_max": cost.max(), "c_min": cost[cost > 0].min()}
    told = eval(table()[name][1].strip("`"), {"__builtins__": {}}, symbols)
    assert told == pytest.approx(range_of(reward_from(name), SYSTEM, 50))


@pytest.mark.parametrize("name", list(REWARDS))
def test_the_table_says_what_failing_costs(name):
    """Numbers in the columns for a game over and a refusal; "as ever" is the value of an accepted action."""
    lost, refused = table()[name][3:5]
    got = value(reward_from(name), LOST)[0]
    if "steps" not in lost:
        assert got == float(lost.split(",")[0])
    expected = value(reward_from(name), state())[0] if refused == "as ever" else float(refused.split(";")[0])
    assert value(reward_from(name), state(), REFUSED)[0] == expected


def test_the_examples_run():
    for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
        names = {}
        exec(compile(block, "rewards.md", "exec"), names)
        for env in (names["env"], names["own"]):
            env.reset(seed=0)
            assert all(np.isfinite(value) for value in env.step(dict.fromkeys(env.agents, 0))[1].values())
