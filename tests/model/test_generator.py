"""Generated scenarios: pure functions of their number, physically consistent, with honest forecasts."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marlgrid.model.datasets.case import load_case
from marlgrid.model.generator import GeneratedSeries, schedule, weather
from marlgrid.model.time_series import unpack_rows

CASES = ("case5", "case14", "case118")


@pytest.fixture(scope="module")
def series():
    return {name: load_case(name).series for name in CASES}


def rows_of(series, number):
    """All rows of a scenario, by name, as float64."""
    arrays = series.scenario(number)
    rows = unpack_rows(arrays.values.astype(float), arrays.outages, series.grid.n_load, series.grid.n_gen)
    return rows._asdict()


# ---------------------------------------------------------------------- purity
@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2016)), min_size=1, max_size=6), st.integers(1, 12))
def test_any_row_in_any_order_is_the_same_alone_in_a_batch_and_in_another_object(series, asked, horizon):
    one = series["case14"]
    other = load_case("case14").series
    scenario, t = (np.array(column) for column in zip(*asked, strict=True))
    for batch, again in (
        (one.at(scenario, t.astype(np.int32)), lambda e: other.at(scenario[e : e + 1], t[e : e + 1])),
        (one.forecast(scenario, t, horizon), lambda e: other.forecast(scenario[e : e + 1], t[e : e + 1], horizon)),
    ):
        for env in range(len(asked)):
            for field, single in zip(batch, again(env), strict=True):
                assert np.array_equal(field[env], single[0])


def test_rows_are_fresh_contiguous_and_of_one_dtype(series):
    one = series["case14"]
    for n_env in (1, 5):
        asked = np.zeros(n_env, dtype=np.int64), np.arange(n_env, dtype=np.int32)
        for rows in (one.at(*asked), one.forecast(*asked, 3)):
            for name, array in rows._asdict().items():
                assert array.flags.c_contiguous
                assert array.flags.writeable
                assert array.dtype == (np.int32 if "duration" in name or "time" in name else np.float64)
        before = one.at(*asked).load_p.copy()
        one.at(*asked).load_p[:] = 0
        assert np.array_equal(one.at(*asked).load_p, before)


def test_packed_rows_are_what_at_gives(series):
    for one in series.values():
        rows = rows_of(one, 4)
        got = one.at(np.full(3, 4), np.array([0, 77, 2016]))
        for name, array in got._asdict().items():
            assert np.array_equal(array, rows[name][[0, 77, 2016]])


def test_a_row_past_the_end_is_the_last_one(series):
    one = series["case5"]
    assert np.array_equal(
        one.at(np.array([0]), np.array([9999])).load_p, one.at(np.array([0]), np.array([2016])).load_p
    )


def test_dropping_scenarios_changes_nothing():
    grid = load_case("case5").system.grid
    roomy, tight = GeneratedSeries(grid, n_rows=50), GeneratedSeries(grid, n_rows=50, max_bytes=1)
    rng = np.random.default_rng(0)
    for _ in range(30):
        scenario, t = rng.integers(0, 9, size=4), rng.integers(0, 50, size=4)
        held = tight.at(scenario, t)
        tight.at(scenario + 20, t)
        for mine, yours in zip(held, roomy.at(scenario, t), strict=True):
            assert np.array_equal(mine, yours)


def test_scenarios_differ(series):
    days = {series["case14"].start(number) for number in range(50)}
    assert len(days) > 30
    assert not np.array_equal(rows_of(series["case14"], 1)["load_p"], rows_of(series["case14"], 2)["load_p"])


def test_splits_are_disjoint(series):
    for one in series.values():
        train, validation, test = (one.splits[split] for split in ("train", "validation", "test"))
        assert len(train) > len(validation) > 0
        assert not set(train) & set(validation)
        assert not (set(train) | set(validation)) & set(test)


def test_a_pickled_series_gives_the_same_rows(series):
    again = pickle.loads(pickle.dumps(series["case14"]))
    asked = np.array([3]), np.array([100])
    for mine, yours in zip(series["case14"].at(*asked), again.at(*asked), strict=True):
        assert np.array_equal(mine, yours)


# ---------------------------------------------------------------------- physics
@pytest.mark.parametrize("name", CASES)
def test_production_meets_load_and_losses_within_limits_and_ramps(series, name):
    one = series[name]
    grid = one.grid
    for number in range(6):
        rows = rows_of(one, number)
        load, power = rows["load_p"].sum(axis=1), rows["gen_p"]
        assert np.abs(power.sum(axis=1) - load - one.losses(load)).max() < 1e-3
        assert (power <= grid.gen_pmax + 1e-4).all()
        units = grid.gen_redispatchable
        assert (power[:, units] >= grid.gen_pmin[units] - 1e-4).all()
        assert (power >= 0).all()
        change = np.diff(power[:, units], axis=0)
        assert (change <= grid.gen_max_ramp_up[units] + 1e-3).all()
        assert (-change <= grid.gen_max_ramp_down[units] + 1e-3).all()
        assert (rows["load_p"] * np.sign(grid.load_p_mw) > 0).all()
        assert np.array_equal(rows["gen_v"][0], grid.gen_v_kv.astype(np.float32))


def test_estimated_losses_are_about_those_of_the_power_flow(series):
    from marlgrid.powerflow import power_flow
    from marlgrid.powerflow.base import PowerFlowInput

    for one in series.values():
        grid, n = one.grid, 30
        rows = one.at(np.arange(n), np.linspace(0, 2016, n).astype(np.int32))
        flow = power_flow("newton", grid).solve(
            PowerFlowInput(
                np.broadcast_to(grid.start_topo_vect, (n, grid.dim_topo)).copy(),
                np.ones((n, grid.n_shunt), dtype=np.int32),
                rows.gen_p,
                rows.gen_v,
                rows.load_p,
                rows.load_q,
                np.zeros((n, grid.n_storage)),
            ),
            np.zeros((n, grid.n_bus), dtype=complex),
            np.ones(n, dtype=bool),
        )
        assert flow.converged.all()
        off = (flow.gen_p - rows.gen_p).sum(axis=1) / rows.load_p.sum(axis=1)
        assert np.abs(off.mean()) < 0.01
        assert np.abs(off).max() < 0.03


def test_solar_sleeps_at_night_and_summer_days_are_longer(series):
    one = series["case14"]
    solar = np.flatnonzero([kind == "solar" for kind in one.grid.gen_type])
    hour = np.arange(one.rows) * 5 / 60 % 24
    for number in range(5):
        power = rows_of(one, number)["gen_p"][:, solar]
        assert (power[(hour < 3.5) | (hour > 21)] == 0).all()
        assert power[(hour > 11) & (hour < 13)].mean() > 0
    minutes = np.arange(0, 1440, 5.0)
    summer, winter = ((weather.clear_sky(day, minutes) > 0).sum() / 12 for day in (171, 354))
    assert 15 < summer < 16.5
    assert 8 < winter < 9.5


def test_loads_follow_the_day_the_week_and_the_season(series):
    one = series["case14"]
    hour, night_over_day, weekend_over_week, by_season = np.arange(one.rows - 1) // 12 % 24, [], [], {}
    for number in range(40):
        load = rows_of(one, number)["load_p"].sum(axis=1)[:-1]
        night_over_day.append(load[hour == 3].mean() / load[hour == 11].mean())
        days = (one.start(number).astype("datetime64[D]") + np.arange(7)).astype(int)
        daily = load.reshape(7, -1).mean(axis=1)
        weekend = (days + 3) % 7 >= 5
        weekend_over_week.append(daily[weekend].mean() / daily[~weekend].mean())
        by_season[int(one.start(number).astype("datetime64[M]").astype(int)) % 12] = load.mean()
    assert max(night_over_day) < 0.85
    assert max(weekend_over_week) < 0.95
    assert np.mean([by_season[month] for month in (0, 11) if month in by_season]) > np.mean(
        [by_season[month] for month in (4, 5, 6) if month in by_season]
    )


def test_noise_is_remembered_in_time_and_shared_in_space(series):
    one = series["case118"]
    wind = [k for k, kind in enumerate(one.grid.gen_type) if kind == "wind"]
    power = np.concatenate([rows_of(one, number)["gen_p"][:-1][:, wind] for number in range(8)])
    hourly = power[::12]
    assert np.mean([np.corrcoef(column[1:], column[:-1])[0, 1] for column in hourly.T]) > 0.9
    xy = one.grid.sub_xy[one.grid.gen_to_subid[wind]]
    far = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    pairs = np.triu_indices(len(wind), 1)
    together = np.corrcoef(hourly.T)[pairs]
    near = far[pairs] < np.median(far[pairs])
    assert together.mean() > 0.2
    assert together[near].mean() > together[~near].mean()


def test_wind_turns_with_the_weather_and_stays_within_its_limits():
    gale, calm = np.full((1, 1), 3.0), np.full((1, 1), -3.0)
    assert weather.wind_share(gale, np.zeros((1, 1)), 15)[0, 0] == 1
    assert weather.wind_share(calm, np.zeros((1, 1)), 15)[0, 0] == 0
    breeze = np.full((1, 1), 0.3)
    assert 0 < weather.wind_share(breeze, np.zeros((1, 1)), 197) < weather.wind_share(breeze, np.zeros((1, 1)), 15) < 1


def test_too_much_wind_is_spilled():
    grid = load_case("case5").system.grid
    windy = np.array([kind == "wind" for kind in grid.gen_type])
    one = GeneratedSeries(replace(grid, gen_pmax=np.where(windy, 5000.0, grid.gen_pmax)), n_rows=400)
    units = grid.gen_redispatchable
    spilled = 0
    for number in range(6):
        rows = rows_of(one, number)
        load = rows["load_p"].sum(axis=1)
        missing = load + one.losses(load) - rows["gen_p"].sum(axis=1)
        assert missing.min() > -1e-2
        # Such a wind may fall faster than the units can follow: then each rises as it can, or is at its top.
        power = rows["gen_p"][:, units]
        rising = np.diff(power, axis=0, prepend=0.0) > grid.gen_max_ramp_up[units] - 1e-2
        assert (rising | (power > power.max(axis=0) - 1e-2))[missing > 1e-2].all()
        least = grid.gen_pmin[units].sum()
        spilled += (np.abs(rows["gen_p"][:, units].sum(axis=1) - least) < 1.0).sum()
    assert spilled > 20


# ---------------------------------------------------------------------- outages
def test_maintenance_is_in_working_hours_of_weekdays_and_on_the_named_lines():
    grid = load_case("case14").system.grid
    named = ("1_4_4", "9_10_12")
    one = GeneratedSeries(grid, maintenance_lines=named, maintenance_per_week=4.0)
    rows = np.arange(one.rows)
    pieces = 0
    for number in range(20):
        out = rows_of(one, number)["time_next_maintenance"] == 0
        assert set(np.flatnonzero(out.any(axis=0))) <= {grid.name_line.index(name) for name in named}
        row = np.nonzero(out)[0]
        assert ((row * 5 % 1440 >= 8 * 60) & (row * 5 % 1440 < 16 * 60)).all()
        days = (one.start(number).astype("datetime64[D]").astype(int) + rows[row] // 288 + 3) % 7
        assert (days < 5).all()
        begins = np.diff(out.astype(int), axis=0).clip(0).sum()
        pieces += begins
        if begins:
            lengths = rows_of(one, number)["duration_next_maintenance"]
            assert lengths.max() >= 36
            assert lengths.max() <= 96
    assert 40 < pieces < 110


def test_hazards_come_only_when_asked_for_and_unannounced():
    grid = load_case("case14").system.grid
    assert not rows_of(GeneratedSeries(grid), 0)["hazard_duration"].any()
    one = GeneratedSeries(grid, hazards_per_year=200.0)
    left = np.concatenate([rows_of(one, number)["hazard_duration"] for number in range(5)])
    begins = (left[1:] > 0) & (left[:-1] == 0)
    weeks = 5
    assert begins.sum() == pytest.approx(200 / 52 * grid.n_line * weeks, rel=0.3)
    assert (left[1:][~begins] == np.maximum(left[:-1][~begins] - 1, 0)).mean() > 0.99
    assert not rows_of(one, 0)["hazard_duration"][0].any()
    t = int(np.flatnonzero((rows_of(one, 0)["hazard_duration"] > 5).any(axis=1))[0])
    now = one.at(np.array([0]), np.array([t])).hazard_duration
    assert np.array_equal(one.forecast(np.array([0]), np.array([t]), 2).hazard_duration, np.maximum(now - 2, 0))
    before = one.forecast(np.array([0]), np.array([t - 1]), 1).hazard_duration
    assert (before[0] <= np.maximum(one.at(np.array([0]), np.array([t - 1])).hazard_duration[0] - 1, 0)).all()


# ---------------------------------------------------------------------- forecasts
def errors(one, horizon, n=4000):
    """Relative errors (n, n_load) of load forecasts, and of wind forecasts where wind blows."""
    rng = np.random.default_rng(horizon)
    scenario, t = rng.integers(0, 20, size=n), rng.integers(0, 2000, size=n)
    seen, then = one.forecast(scenario, t, horizon), one.at(scenario, t + horizon)
    wind = np.array([kind == "wind" for kind in one.grid.gen_type])
    strong = (then.gen_p[:, wind] > 10) & (then.gen_p[:, wind] < 0.8 * one.grid.gen_pmax[wind])
    return seen.load_p / then.load_p - 1, (seen.gen_p[:, wind] / np.maximum(then.gen_p[:, wind], 1e-9) - 1)[strong]


def test_forecasts_are_unbiased_and_err_more_further_ahead(series):
    one = series["case14"]
    spread = []
    for horizon in (1, 4, 12):
        load, wind = errors(one, horizon)
        assert abs(load.mean()) < 4 * load.std() / np.sqrt(len(load))
        assert abs(wind.mean()) < 5 * wind.std() / np.sqrt(len(wind))
        assert load.std(axis=0) == pytest.approx(0.004 * np.sqrt(horizon), rel=0.1)
        spread.append((load.std(), wind.std()))
    assert spread[0] < spread[1] < spread[2]
    assert 0.03 < spread[2][1] < 0.12


def test_successive_forecasts_of_one_moment_err_alike(series):
    one, n = series["case14"], 1500
    t = np.arange(n)
    scenario = np.zeros(n, dtype=np.int64)
    actual = one.at(scenario, t + 12).load_p
    early, late = (one.forecast(scenario, t + ahead, 12 - ahead).load_p / actual - 1 for ahead in (0, 1))
    assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(early.T, late.T, strict=True)]) > 0.85
    mine = early[:, 0]
    assert np.corrcoef(mine[1:], mine[:-1])[0, 1] > 0.8


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_schedule_meets_its_own_loads_within_ramps(series, name):
    one = series[name]
    grid, n = one.grid, 300
    rng = np.random.default_rng(1)
    units = grid.gen_redispatchable
    for horizon in (1, 6, 12):
        scenario, t = rng.integers(0, 10, size=n), rng.integers(0, 2000, size=n)
        now, then = one.at(scenario, t), one.forecast(scenario, t, horizon)
        expected = then.load_p.sum(axis=1)
        actual = one.at(scenario, t + horizon).load_p.sum(axis=1)
        losses = one.losses(actual) + one.loss_share * (expected - actual)
        assert np.abs(then.gen_p.sum(axis=1) - expected - losses).max() < 0.002 * expected.max()
        change = (then.gen_p - now.gen_p)[:, units]
        assert (change <= horizon * grid.gen_max_ramp_up[units] + 1e-3).all()
        assert (-change <= horizon * grid.gen_max_ramp_down[units] + 1e-3).all()
        assert (then.gen_p <= grid.gen_pmax + 1e-4).all()
        assert (then.gen_p >= -1e-6).all()


def test_maintenance_is_foreseen(series):
    one = series["case14"]
    number = next(k for k in range(50) if (rows_of(one, k)["time_next_maintenance"] == 0).any())
    t = int(np.flatnonzero((rows_of(one, number)["time_next_maintenance"] == 0).any(axis=1))[0])
    seen = one.forecast(np.array([number]), np.array([t - 5]), 5)
    assert np.array_equal(seen.time_next_maintenance, one.at(np.array([number]), np.array([t])).time_next_maintenance)


@pytest.mark.parametrize("horizon", [0, 13, -1])
def test_an_unknown_horizon_is_refused(series, horizon):
    with pytest.raises(ValueError, match="choose from 1 to 12"):
        series["case14"].forecast(np.array([0]), np.array([0]), horizon)


# ---------------------------------------------------------------------- speed and errors
def test_a_day_is_generated_in_under_50_ms_and_a_row_read_in_microseconds():
    grid = load_case("case14").system.grid
    day = GeneratedSeries(grid, n_rows=289)
    day.scenario(0)
    assert min(_seconds(lambda k=k: day.scenario(k)) for k in range(1, 6)) < 0.05
    asked = np.array([0]), np.array([5], dtype=np.int32)
    day.at(*asked)
    assert min(_seconds(lambda: [day.at(*asked) for _ in range(200)]) for _ in range(5)) / 200 < 50e-6


def _seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_rows": 1}, "n_rows is 1, give at least 2"),
        ({"delta_time": 0.0}, "delta_time is 0.0 minutes"),
        ({"n_horizon": 0}, "n_horizon is 0"),
        ({"maintenance_per_week": -1.0}, "maintenance_per_week is -1.0"),
        ({"hazards_per_year": float("nan")}, "hazards_per_year is nan"),
        ({"maintenance_lines": ["nowhere"]}, r"unknown maintenance line\(s\) \['nowhere'\]"),
        ({"households": np.array([0.5])}, "households has shape .* give 11 shares"),
    ],
)
def test_wrong_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GeneratedSeries(load_case("case14").system.grid, **options)


def test_a_grid_that_nothing_can_follow_is_refused():
    grid = load_case("case5").system.grid
    with pytest.raises(ValueError, match="no dispatchable generator"):
        GeneratedSeries(replace(grid, gen_type=("wind",) * grid.n_gen))


def test_a_negative_scenario_is_refused(series):
    with pytest.raises(ValueError, match="scenario -1 does not exist"):
        series["case14"].at(np.array([-1]), np.array([0]))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(-0.2, 1.3))
def test_units_share_the_load_at_the_price_that_halving_finds(seed, load):
    """Beside the halving in plain words: the steps that save most of its trials change no bit."""
    rng = np.random.default_rng(seed)
    pmax, price = rng.uniform(0.0, 300.0, 5), rng.uniform(1.0, 80.0, 5)
    pmin = pmax * rng.choice([0.0, 0.3, 1.0], 5)
    need = load * pmax.sum()

    def supply(marginal):
        wanted = pmax * (marginal / price - 1.0 + schedule.PRICE_SLOPE) / (2.0 * schedule.PRICE_SLOPE)
        return np.minimum(np.maximum(wanted, pmin), pmax)

    cheap, dear = 0.0, 2.0 * price.max() * (1.0 + schedule.PRICE_SLOPE)
    for _ in range(schedule.N_BISECTION):
        marginal = 0.5 * (cheap + dear)
        short = sum(supply(marginal).tolist()) < need
        cheap, dear = (marginal, dear) if short else (cheap, marginal)
    unlimited = np.full(5, np.inf)
    found = schedule.merit_order(
        np.array([need, need]), np.full((2, 5), -1.0), np.stack([pmin] * 2), np.stack([pmax] * 2), unlimited, unlimited,
        np.stack([price] * 2),
    )  # fmt: skip
    np.testing.assert_array_equal(found, np.stack([supply(dear)] * 2))
