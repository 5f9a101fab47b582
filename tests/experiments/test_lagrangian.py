"""The price of a cost: closed forms of its controller, and a toy problem whose best trade-off is known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from experiments.lagrangian import GAINS, Multiplier
from marlgrid.rllib.price import PricedCost


def test_dual_ascent_adds_up_the_excess_and_never_goes_below_zero():
    price = Multiplier(limit=2.0, gains=GAINS["dual"])
    gain = GAINS["dual"][1]
    excesses = [(cost - 2.0) / 2.0 for cost in (3.0, 5.0, 1.0, 0.0, 0.0, 0.0, 0.0)]
    total = 0.0
    for excess in excesses:
        total = max(total + excess, 0.0)
        assert price.update(2.0 + 2.0 * excess) == pytest.approx(gain * total)
    assert price.value == 0.0


def test_pid_reacts_to_the_excess_its_sum_and_its_rise():
    price = Multiplier(limit=1.0, gains=(0.5, 0.1, 2.0))
    assert price.update(1.5) == pytest.approx(0.5 * 0.5 + 0.1 * 0.5)
    assert price.update(2.0) == pytest.approx(0.5 * 1.0 + 0.1 * 1.5 + 2.0 * 0.5)
    assert price.update(1.0) == pytest.approx(0.1 * 1.5)  # a fall is not rewarded


@pytest.mark.parametrize("name", list(GAINS))
def test_the_price_settles_where_the_limit_is_kept(name):
    """Who takes x gains 2x - x^2 and costs x: the best x at price p is 1 - p / 2, so a limit of 0.4 takes p = 1.2."""
    price = Multiplier(limit=0.4, gains=GAINS[name])
    x = 1.0
    for _ in range(3000):
        x += 0.2 * (max(1.0 - price.value / 0.4 / 2, 0.0) - x)  # the price is per limit
        price.update(x)
    assert x == pytest.approx(0.4, abs=0.01)
    assert price.value / 0.4 == pytest.approx(1.2, abs=0.03)


def test_rewards_are_penalised_and_limits_checked():
    cost = PricedCost("overload", limit=2.0, price=3.0)
    np.testing.assert_allclose(cost.penalised(np.array([1.0, -1.0]), np.array([0.0, 4.0])), [0.25, -7 / 4])
    infos = {"zone_0": {"cost_overload": 1.0}, "zone_1": {"cost_overload": 0.5}, "opponent_0": {}}
    assert cost.of(infos) == 1.5
    for wrong in (partial(Multiplier, limit=0.0), partial(PricedCost, "overload", 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            wrong()
    with pytest.raises(ValueError, match="choose from"):
        PricedCost("overlod", 1.0)
