"""Attackers: only what the rules allow, with the probabilities they promise, replayed from the seed alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marlgrid import seeding
from marlgrid.model.attacker import Attacker
from marlgrid.simulation.state import take
from marlgrid.task.opponents import (
    OPPONENTS,
    GeometricOpponent,
    MultiAreaOpponent,
    NoOpponent,
    RandomOpponent,
    WeightedOpponent,
    opponent_from,
)
from marlgrid.task.opponents.base import STREAM_LINE
from tests.simulation.small import start
from tests.task.attacked import played, system_with


@pytest.mark.parametrize("name", sorted(OPPONENTS))
def test_only_allowed_lines_are_attacked_one_at_a_time(name):
    system = system_with(initial_budget=8.0)
    durations, allowed = played(system, opponent_from(name), 20, 60)
    assert not durations[~allowed].any()
    assert (durations > 0).sum(axis=2).max() <= (2 if name == "multi-area" else 1)
    assert durations.max() <= system.attack.max_duration
    assert not durations[:, :, 3].any(), "line_3 may not be attacked"


@pytest.mark.parametrize("name", ["random", "weighted", "geometric"])
def test_one_attack_at_a_time_even_without_cooldown(name):
    durations, _ = played(system_with(cooldown=0, max_duration=12), small_settings(name), 20, 80)
    for env in range(20):
        starts = np.flatnonzero(durations[:, env].any(axis=1))
        lasting = durations[starts, env].max(axis=1)
        assert len(starts) > 2
        assert (np.diff(starts) >= lasting[:-1]).all()


def small_settings(name):
    """The attacker, set for short episodes."""
    hours = {"every_hours": 0.8, "average_hours": 0.4, "minimum_hours": 0.1}
    return opponent_from({"name": name} | {"weighted": {"period": 5}, "random": {}}.get(name, hours))


def test_none_never_attacks():
    durations, _ = played(system_with(), NoOpponent(), 2, 30)
    assert not durations.any()


def test_random_attacks_whenever_it_may_and_every_line_alike():
    durations, allowed = played(system_with(), RandomOpponent(), 300, 60)
    assert ((durations > 0).any(axis=2) == allowed.any(axis=2)).all()
    struck = (durations > 0).sum(axis=(0, 1))[:3]
    assert struck / struck.sum() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert set(durations[durations > 0]) == {4}
    shorter, _ = played(system_with(), RandomOpponent(duration=2), 2, 20)
    assert set(shorter[shorter > 0]) == {2}


@pytest.mark.parametrize(
    ("opponent", "weight"), [(RandomOpponent(), 1.0), (WeightedOpponent(period=1), np.array([1.0, 2.0, 7.0, 9.0]))]
)
def test_a_strike_is_the_draw_of_its_weights(opponent, weight):
    """Beside the draws in NumPy's words, from the same numbers."""
    durations, allowed = played(system_with(), opponent, 50, 20, current=[10.0, 20.0, 70.0, 90.0])
    for t, (struck, free) in enumerate(zip(durations, allowed, strict=True)):
        shares = np.where(free, weight, 0.0)
        ends = np.cumsum(shares, axis=1) / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
        drawn = seeding.uniform(np.arange(50), np.full(50, t), STREAM_LINE, 1)
        line = np.where(free.any(axis=1), (ends <= drawn).sum(axis=1), -1)
        np.testing.assert_array_equal(np.where(struck.any(axis=1), struck.argmax(axis=1), -1), line)


def test_the_cooldown_counts_between_starts():
    durations, _ = played(system_with(), RandomOpponent(), 1, 40)
    starts = np.flatnonzero(durations.any(axis=(1, 2)))
    assert (np.diff(starts) == 6).all()


def test_weighted_prefers_loaded_lines():
    durations, _ = played(system_with(), WeightedOpponent(period=1), 400, 60, current=[10.0, 20.0, 70.0, 90.0])
    struck = (durations > 0).sum(axis=(0, 1))[:3]
    assert struck / struck.sum() == pytest.approx([0.1, 0.2, 0.7], abs=0.03)


def test_weighted_divides_by_its_normalisation():
    opponent = WeightedOpponent(period=1, normalisation=(1.0, 2.0, 7.0))
    durations, _ = played(system_with(), opponent, 400, 60, current=[10.0, 20.0, 70.0, 90.0])
    struck = (durations > 0).sum(axis=(0, 1))[:3]
    assert struck / struck.sum() == pytest.approx([1 / 3] * 3, abs=0.03)
    with pytest.raises(ValueError, match="3 positive numbers"):
        played(system_with(), WeightedOpponent(normalisation=(1.0,)), 1, 1)


def test_weighted_waits_evenly_over_its_period():
    durations, _ = played(system_with(cooldown=0, max_duration=1), WeightedOpponent(period=10), 500, 30)
    first = durations.any(axis=2).argmax(axis=0)
    assert np.bincount(first, minlength=10) / 500 == pytest.approx([0.1] * 10, abs=0.045)
    assert first.max() == 9


def test_geometric_waits_and_lasts_as_long_as_promised():
    system = system_with(cooldown=0, max_duration=500)
    opponent = GeometricOpponent(every_hours=4.0, average_hours=1.0, minimum_hours=0.5)
    durations, _ = played(system, opponent, 150, 2000)
    starts = durations.max(axis=2)
    assert starts[starts > 0].min() >= 6 + 1
    assert starts[starts > 0].mean() == pytest.approx(12.0, rel=0.1)
    first = (starts > 0).argmax(axis=0)
    assert first.mean() == pytest.approx(36.0, rel=0.2)
    gaps = []
    for env in range(150):
        at = np.flatnonzero(starts[:, env])
        gaps += list(np.diff(at) - starts[at[:-1], env])
    assert np.mean(gaps) == pytest.approx(36.0, rel=0.1)
    assert min(gaps) == 1


def test_geometric_ranks_lines_by_rho():
    system = system_with(cooldown=0, max_duration=500)
    opponent = GeometricOpponent(every_hours=1.0, average_hours=0.2, minimum_hours=0.1, pmax_pmin_ratio=4.0)
    durations, _ = played(system, opponent, 500, 150, current=[70.0, 10.0, 20.0, 90.0])
    struck = (durations > 0).sum(axis=(0, 1))[:3]
    assert struck / struck.sum() == pytest.approx(np.array([4, 1, 2]) / 7, abs=0.03)


def test_an_attack_drawn_too_long_does_not_take_place():
    opponent = GeometricOpponent(every_hours=1.0, average_hours=0.5, minimum_hours=0.1)
    free, _ = played(system_with(cooldown=0, max_duration=500), opponent, 40, 100)
    bound, _ = played(system_with(cooldown=0, max_duration=5), opponent, 40, 100)
    short = (free.max(axis=2) > 0) & (free.max(axis=2) <= 5)
    assert (free.max(axis=2) > 5).sum() > 100
    assert np.array_equal(np.where(short[:, :, None], free, 0), bound), "as planned, without the long ones"


def test_areas_strike_independently_and_on_their_own_lines():
    system = system_with(cooldown=0, max_duration=500)
    hours = {"every_hours": 1.5, "average_hours": 0.5, "minimum_hours": 0.1}
    durations, _ = played(system, MultiAreaOpponent(**hours, areas=(("line_0", "line_1"), ("line_2",))), 200, 300)
    west, east = durations[:, :, :2].max(axis=2), durations[:, :, 2]
    for area in (west, east):
        lasting = area[area > 0]
        assert lasting.min() >= 1 + 1 + 1, "minimum, geometric from 1, and Grid2Op's extra step"
        assert lasting.mean() == pytest.approx(1 + 6, rel=0.05)
    both = ((west > 0) & (east > 0)).mean()
    assert both == pytest.approx((west > 0).mean() * (east > 0).mean(), rel=0.3)
    assert both > 0


def test_areas_are_zones_unless_named():
    system = system_with(cooldown=0, max_duration=500)
    hours = {"every_hours": 1.5, "average_hours": 0.5, "minimum_hours": 0.1}
    by_zone, _ = played(system, MultiAreaOpponent(**hours), 5, 60)
    named, _ = played(system, MultiAreaOpponent(**hours, areas=(("line_0", "line_1"), ("line_2",))), 5, 60)
    assert by_zone.any()
    assert np.array_equal(by_zone, named)
    with pytest.raises(ValueError, match=r"line_3.*line_9"):
        played(system, MultiAreaOpponent(areas=(("line_3", "line_9"),)), 1, 1)
    with pytest.raises(ValueError, match=r"\['line_0'\] are not attackable or listed more than once"):
        played(system, MultiAreaOpponent(areas=(("line_0",), ("line_0",))), 1, 1)


def test_areas_share_the_budget_of_a_step():
    hours = {"every_hours": 0.5, "average_hours": 0.25, "minimum_hours": 0.1}
    system = system_with(cooldown=0, initial_budget=4.0, budget_per_step=0.3, max_duration=4)
    durations, _ = played(system, MultiAreaOpponent(**hours), 50, 80)
    assert (durations > 0).any(axis=(0, 2)).all()


def test_a_planned_attack_waits_until_it_is_allowed():
    system = system_with(cooldown=0, initial_budget=0.0, budget_per_step=0.1, max_duration=4)
    opponent = GeometricOpponent(every_hours=0.5, average_hours=0.2, minimum_hours=0.1)
    durations, _ = played(system, opponent, 20, 120)
    assert (durations > 0).any(axis=(0, 2)).all(), "no attack is lost to an empty budget"


@pytest.mark.parametrize("name", sorted(OPPONENTS))
def test_a_row_of_a_batch_attacks_as_it_does_alone(name):
    system, opponent = system_with(), opponent_from(name)
    if name == "weighted":
        opponent = WeightedOpponent(period=5)
    together, _ = played(system, opponent, 4, 40)
    again, _ = played(system, opponent, 4, 40)
    assert np.array_equal(together, again)
    few, _ = played(system, opponent, 2, 40)
    assert np.array_equal(together[:, :2], few)


def test_memory_is_a_value():
    system = system_with()
    opponent = GeometricOpponent(every_hours=0.5, average_hours=0.2, minimum_hours=0.1)
    state = take(start(system), np.zeros(3, dtype=int))
    memory = opponent.reset(system, state)
    before = [array.copy() for array in memory]
    opponent.attack(system, state, memory)
    assert all(np.array_equal(a, b) for a, b in zip(before, memory, strict=True))


def test_what_is_no_opponent():
    with pytest.raises(ValueError, match=r"unknown opponent 'evil'.*weighted"):
        opponent_from("evil")
    with pytest.raises(TypeError, match="no opponent"):
        opponent_from(object())
    with pytest.raises(ValueError, match="every_hours"):
        GeometricOpponent(every_hours=1.0, average_hours=2.0)
    with pytest.raises(ValueError, match="period"):
        WeightedOpponent(period=0)
    with pytest.raises(ValueError, match=r"no setting \['perod'\].*period"):
        opponent_from({"name": "weighted", "perod": 3})
    assert opponent_from({"name": "weighted", "period": 3}) == WeightedOpponent(period=3)
    assert isinstance(opponent_from(None), NoOpponent)
    mine = RandomOpponent()
    assert opponent_from(mine) is mine


def test_a_system_comes_with_its_attacker():
    own = Attacker("geometric", {"every_hours": 12.0})
    system = replace(system_with(), attacker=own)
    assert opponent_from("case", system) == GeometricOpponent(every_hours=12.0)
    assert opponent_from("geometric", system) == GeometricOpponent(every_hours=12.0)
    assert opponent_from({"name": "case", "pmax_pmin_ratio": 2.0}, system).pmax_pmin_ratio == 2.0
    assert opponent_from("random", system) == RandomOpponent()
    assert opponent_from("case", system_with()) == NoOpponent()
    assert opponent_from("geometric") == GeometricOpponent()
