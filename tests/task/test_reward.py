"""Rewards on states written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.model.attention import AttentionRules
from marlgrid.simulation.action import do_nothing
from marlgrid.simulation.rules import Ruling
from marlgrid.simulation.state import Outcome, take
from marlgrid.task.reward import (
    REWARDS,
    EconomicReward,
    L2RPNReward,
    LinesCapacityReward,
    NegativeMean,
    RedispReward,
    SurvivalReward,
    reward_from,
    values_of,
)
from tests.simulation.small import small_system, start

SYSTEM = small_system(attention=AttentionRules({"west": ("line_0",)}, ("line_0", "line_1")))
GRID = SYSTEM.grid


def ruling(*reasons: tuple[int, int]) -> Ruling:
    """One row per environment: the reasons of the two zones."""
    reason = np.array(reasons or [(0, 0)], dtype=np.int8)
    n = len(reason)
    none = np.zeros((n, 4), dtype=bool)
    return Ruling(reason, reason == 0, np.zeros(n, bool), np.zeros((n, 4), np.int32), none, np.zeros((n, 3), bool))


def state(outcome=Outcome.RUNNING, out=(), n_env: int = 1):
    """rho 0.1, 0.4, 0.7, 1.2 on limits of 100 A; generators at 50, 30 and 10 MW; loads of 50 and 30 MW."""
    after = take(start(SYSTEM), np.zeros(n_env, dtype=int))
    rho = np.tile([0.1, 0.4, 0.7, 1.2], (n_env, 1))
    topo_vect = after.topology.topo_vect.copy()
    for line in out:
        rho[:, line] = 0.0
        topo_vect[:, [GRID.line_or_pos_topo_vect[line], GRID.line_ex_pos_topo_vect[line]]] = -1
    flow = after.flow._replace(
        a_or=rho * 100.0,
        gen_p=np.tile([50.0, 30.0, 10.0], (n_env, 1)),
        load_p=np.tile([50.0, 30.0], (n_env, 1)),
        p_or=np.tile([30.0, 20.0, 10.0, 0.0], (n_env, 1)),
        p_ex=np.tile([-28.0, -19.0, -9.0, 0.0], (n_env, 1)),
    )
    dispatch = after.dispatch._replace(
        actual=np.tile([2.0, -3.0, 0.0], (n_env, 1)), storage_power=np.full((n_env, 1), -4.0)
    )
    return after._replace(
        rho=rho,
        flow=flow,
        dispatch=dispatch,
        topology=after.topology._replace(topo_vect=topo_vect),
        outcome=np.full(n_env, outcome, dtype=np.int8),
    )


def value(reward, after, asked=None) -> list[float]:
    asked = asked or ruling()
    return values_of(reward, SYSTEM, after, do_nothing(after.n_env, 2), asked, after)[0].tolist()


LOST, DONE, REFUSED = state(Outcome.DIVERGED), state(Outcome.TIME_LIMIT), ruling((7, 0))


def test_survival():
    assert value(SurvivalReward(), state()) == [1, 1]
    assert value(SurvivalReward(), DONE) == [1, 1]
    assert value(SurvivalReward(step=0.5, blackout=-2.0), LOST) == [-2, -2]
    assert value(reward_from("flat"), LOST) == [0, 0]
    assert value(reward_from("flat"), state(), REFUSED) == [1, 1]


def test_lines_capacity():
    assert value(LinesCapacityReward(), state()) == pytest.approx([1 - 2.4 / 4] * 2)
    assert value(LinesCapacityReward(), state(out=[3])) == pytest.approx([1 - 1.2 / 3] * 2)
    # lines 0, 1, 3 are ties; line 2 is the second zone's alone
    assert value(LinesCapacityReward("zone"), state()) == pytest.approx([1 - 1.7 / 3, 1 - 2.4 / 4])
    assert value(LinesCapacityReward("zone"), state(out=[0, 1, 3])) == pytest.approx([0, 0.3])
    assert value(LinesCapacityReward(), state(), REFUSED) == pytest.approx([0, 0.4])
    assert value(LinesCapacityReward(), LOST) == [0, 0]
    assert value(LinesCapacityReward(), DONE) == pytest.approx([0.4, 0.4])
    heavy = state()._replace(rho=np.full((1, 4), 3.0))
    assert value(LinesCapacityReward(), heavy) == [0, 0]


def test_l2rpn():
    margins = [1 - (i / 100.1) ** 2 for i in (10, 40, 70)] + [0.0]
    assert value(L2RPNReward(), state()) == pytest.approx([sum(margins)] * 2)
    assert value(L2RPNReward(), state(out=[3])) == pytest.approx([sum(margins) + 1] * 2)
    assert value(L2RPNReward("zone"), state()) == pytest.approx([sum(margins) - margins[2], sum(margins)])
    assert value(L2RPNReward(), state(), REFUSED) == pytest.approx([sum(margins)] * 2)
    assert value(L2RPNReward(), DONE) == [0, 0]
    assert value(L2RPNReward(), LOST) == [0, 0]


def test_economic():
    assert value(EconomicReward(), state()) == pytest.approx([1 - (50 * 30 + 30 * 20) / (100 * 30 + 60 * 20)] * 2)
    assert value(EconomicReward("zone"), state()) == pytest.approx([1 - 50 / 100, 1 - 30 / 60])
    assert value(EconomicReward("zone"), state(), REFUSED) == pytest.approx([0, 0.5])
    assert value(EconomicReward(), LOST) == [0, 0]


def test_redisp():
    hours, price, highest = 5 / 60, 30.0, 5.05 * 200 * 30 * 5 / 60
    team = (highest - price * hours * (10 + 5 * 5 + 4)) / 80
    assert value(RedispReward(), state()) == pytest.approx([team] * 2)
    idle = state()._replace(flow=state().flow._replace(gen_p=np.array([[0.0, 30.0, 60.0]])))
    cheap = (highest - 20 * hours * (10 + 5 * 5 + 4)) / 80
    assert value(RedispReward(), idle) == pytest.approx([cheap] * 2), "priced at the dearest generator that runs"
    assert value(RedispReward(), state(), REFUSED) == pytest.approx([0, team])
    assert value(RedispReward(), LOST) == [-10, -10]
    assert value(RedispReward(), DONE) == pytest.approx([team] * 2)
    assert value(RedispReward(), DONE, REFUSED) == pytest.approx([-10, team])
    # losses are 2 and 1 MW on the ties, 1 MW inside the second zone
    zones = [(highest - 2 * price * hours * paid) / 80 for paid in (1.5 + 5 * 2, 2.5 + 5 * 3 + 4)]
    assert value(RedispReward("zone"), state()) == pytest.approx(zones)


def test_a_mix_and_the_opponents_gain():
    mix = reward_from({"survival": 1.0, "LinesCapacityReward": 0.5, _by_zone: -1.0}, scope="zone")
    assert value(mix, state()) == pytest.approx([1 + 0.5 * (1 - 1.7 / 3) - 10, 1 + 0.5 * 0.4 - 20])
    gain = NegativeMean(_by_zone)
    assert values_of(gain, SYSTEM, state(), do_nothing(1, 2), ruling(), state())[0].tolist() == [-15, -15]


def _by_zone(system, before, action, ruling, after):
    return np.tile([10.0, 20.0], (after.n_env, 1))


@pytest.mark.parametrize("name", list(REWARDS))
@pytest.mark.parametrize("scope", ["team", "zone"])
def test_rows_of_a_batch_do_not_mix(name, scope):
    reward = reward_from(name, scope)
    batch = state(n_env=3)._replace(outcome=np.array([0, 2, 1], dtype=np.int8))
    asked = ruling((0, 0), (0, 0), (9, 0))
    together = values_of(reward, SYSTEM, batch, do_nothing(3, 2), asked, batch)
    assert together.shape == (3, 2)
    for env in range(3):
        alone, its = take(batch, np.array([env])), Ruling(*(field[[env]] for field in asked))
        assert values_of(reward, SYSTEM, alone, do_nothing(1, 2), its, alone)[0].tolist() == together[env].tolist()


def test_short_names():
    assert reward_from("lines_capacity") == LinesCapacityReward()
    assert reward_from("L2RPN", "zone") == L2RPNReward("zone")
    assert reward_from("redisp") == RedispReward()
    assert reward_from(_by_zone) is _by_zone


def test_what_is_no_reward():
    with pytest.raises(ValueError, match=r"unknown reward 'profit'.*survival"):
        reward_from("profit")
    with pytest.raises(ValueError, match="weight of reward 'survival'"):
        reward_from({"survival": float("nan")})
    with pytest.raises(ValueError, match="at least one"):
        reward_from({})
    with pytest.raises(TypeError, match="no reward"):
        reward_from(3.0)
    with pytest.raises(ValueError, match="scope is 'all'"):
        reward_from("survival", scope="all")
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        value(lambda *_: np.zeros(3), state())
