"""Folders written here, in Grid2Op's format, read without Grid2Op: compressions, names, outages, broken files."""

from __future__ import annotations

import json
import pickle
import sys

import numpy as np
import pytest

from marlgrid.model.datasets.case import load_case
from marlgrid.model.datasets.grid2op_config import Construct, Symbol, read_config
from marlgrid.model.datasets.grid2op_folder import load_folder
from marlgrid.model.datasets.grid2op_maintenance import MaintenancePlan, draw_maintenance
from marlgrid.model.datasets.grid2op_series import split_ranges
from tests.model.grid2op_writing import (
    GENS,
    LINES,
    LOADS,
    N_ROW,
    WRITERS,
    config_text,
    first,
    numbers,
    opponent_config,
    tables,
    write_folder,
    write_scenario,
)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "env")


# ---------------------------------------------------------------------- what is read
@pytest.mark.parametrize("ending", WRITERS)
def test_every_compression(tmp_path, ending):
    case = load_case(write_folder(tmp_path / "env", ending=ending), zones=2)
    wanted = tables()
    for t in (0, 5, N_ROW - 1):
        row = first(case, t)
        np.testing.assert_allclose(row.load_p[0], wanted["load_p"][1][t], rtol=1e-6)
        np.testing.assert_allclose(row.load_q[0], wanted["load_q"][1][t], rtol=1e-6)
        np.testing.assert_allclose(row.gen_p[0], wanted["prod_p"][1][t], rtol=1e-6)
    assert case.series.n_rows(0) == N_ROW
    assert case.series.delta_time == case.system.delta_time == 15.0
    assert case.series.start(0) == np.datetime64("2021-03-01T00:00")


def test_without_importing_grid2op(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "grid2op", None)
    assert load_folder(str(folder)).system.grid.n_sub == 5


def test_characteristics(folder):
    grid = load_folder(folder).system.grid
    assert (grid.name_gen, grid.name_load, grid.name_line) == (GENS, LOADS, LINES)
    assert grid.gen_type == ("hydro", "wind", "thermal")
    assert grid.gen_pmax.tolist() == [40, 30, 80]
    assert grid.gen_max_ramp_up.tolist() == [9, 0, 4]
    assert grid.gen_max_ramp_down.tolist() == [9, 0, 3]
    assert grid.gen_min_uptime.tolist() == [0, 0, 12]
    assert grid.gen_cost_per_mw.tolist() == [5, 0, 60]
    assert grid.gen_slack.tolist() == [False, False, True]
    np.testing.assert_allclose(grid.thermal_limit[:4], 500.0)
    np.testing.assert_allclose(grid.thermal_limit[4], 1000 * 50 / (np.sqrt(3) * 100), rtol=1e-6)
    assert grid.sub_xy.tolist() == [[bus, bus**2] for bus in range(5)]


def test_voltages_come_from_the_grid_where_no_table_has_them(folder):
    np.testing.assert_allclose(first(load_folder(folder)).gen_v[0], [101.0, 102.0, 103.0], rtol=1e-6)
    write_scenario(folder / "chronics" / "000", {"prod_v": (GENS, np.full((N_ROW, 3), 99.5))})
    np.testing.assert_allclose(first(load_folder(folder)).gen_v[0], 99.5)


def test_columns_are_found_by_name_and_may_be_mapped(tmp_path):
    names = {"loads": {"A": "load_a", "B": "load_b", "C": "load_c"}}
    root = write_folder(tmp_path / "env", config=config_text(names=names))
    values = numbers(3, 5)
    write_scenario(
        root / "chronics" / "000", {"load_p": (("C", "A", "B"), values), "load_q": (("A", "B", "C"), values)}
    )
    row = first(load_folder(root), 3)
    np.testing.assert_allclose(row.load_p[0], values[3, [1, 2, 0]], rtol=1e-6)
    np.testing.assert_allclose(row.load_q[0], values[3], rtol=1e-6)


def test_thermal_limits_by_name_or_in_order(tmp_path):
    by_name = {name: 100.0 + i for i, name in enumerate(reversed(LINES))}
    ordered = load_folder(write_folder(tmp_path / "a", config=config_text(limits=[1.0, 2.0, 3.0, 4.0, 5.0])))
    named = load_folder(write_folder(tmp_path / "b", config=config_text(limits=by_name)))
    assert ordered.system.grid.thermal_limit.tolist() == [1, 2, 3, 4, 5]
    assert named.system.grid.thermal_limit.tolist() == [104, 103, 102, 101, 100]


def test_forecasts(tmp_path):
    more = '"data_feeding_kwargs": {"gridvalueClass": GridStateFromFileWithForecasts, "h_forecast": [15, 30]},'
    root = write_folder(tmp_path / "env", config=config_text("GridStateFromFileWithForecasts", more=more))
    forecast = numbers(3, 9, 2 * N_ROW)
    write_scenario(root / "chronics" / "000", {"load_p_forecasted": (LOADS, forecast)})
    series = load_folder(root).series
    assert series.n_horizon == 2
    t = np.array([0, 4, N_ROW - 1], dtype=np.int32)
    scenario = np.zeros(3, dtype=np.int64)
    for horizon in (1, 2):
        expected = series.forecast(scenario, t, horizon)
        np.testing.assert_allclose(expected.load_p, forecast[2 * t + horizon - 1], rtol=1e-6)
        np.testing.assert_array_equal(expected.gen_p, series.at(scenario, t).gen_p)
    with pytest.raises(ValueError, match="horizon 3 is not offered"):
        series.forecast(scenario, t, 3)


def test_no_forecast_tables_no_horizon(folder):
    series = load_folder(folder).series
    assert series.n_horizon == 0
    with pytest.raises(ValueError, match="horizon 1 is not offered"):
        series.forecast(np.array([0]), np.array([0]), 1)


def test_maintenance_and_hazards(folder):
    planned, accident = np.zeros((N_ROW, 5)), np.zeros((N_ROW, 5))
    planned[4:7, 1] = 1.0
    planned[9:, 1] = 1.0
    accident[2:5, 4] = 1.0
    write_scenario(folder / "chronics" / "000", {"maintenance": (LINES, planned), "hazards": (LINES, accident)})
    rows = load_folder(folder).series.at(np.zeros(N_ROW, dtype=np.int64), np.arange(N_ROW, dtype=np.int32))
    assert rows.time_next_maintenance[:, 1].tolist() == [4, 3, 2, 1, 0, 0, 0, 2, 1, 0, 0, 0]
    assert rows.duration_next_maintenance[:, 1].tolist() == [3, 3, 3, 3, 3, 2, 1, 3, 3, 3, 2, 1]
    assert rows.hazard_duration[:, 4].tolist() == [0, 0, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    assert (rows.time_next_maintenance[:, [0, 2, 3, 4]] == -1).all()


def test_random_maintenance_is_a_function_of_the_scenario_number(tmp_path):
    root = write_folder(tmp_path / "env", config=config_text("GridStateFromFileWithForecastsWithMaintenance"))
    scenario = root / "chronics" / "000"
    write_scenario(scenario, tables(n_row=96 * 14))
    meta = {
        "maintenance_starting_hour": 9,
        "maintenance_ending_hour": 17,
        "line_to_maintenance": ["l1", "l3"],
        "daily_proba_per_month_maintenance": [0.5] * 12,
        "max_daily_number_per_month_maintenance": [1] * 12,
    }
    (scenario / "maintenance_meta.json").write_text(json.dumps(meta))
    series, again = load_folder(root).series, load_folder(root).series
    drawn = [series.scenario(number).outages for number in range(4)]
    assert not np.array_equal(drawn[0], drawn[1])
    for number in (3, 0):
        np.testing.assert_array_equal(again.scenario(number).outages, drawn[number])
        np.testing.assert_array_equal(again.scenario(number).values, series.scenario(0).values)
    out = drawn[0][:, :5] == 0
    assert out.sum(axis=1).max() == 1
    assert not out[:, [0, 2, 4]].any()


def test_splits():
    for n in range(1, 60):
        splits = split_ranges(n)
        numbers_ = [number for split in splits.values() for number in split]
        if n < 3:
            assert all(split == range(n) for split in splits.values())
        else:
            assert sorted(numbers_) == list(range(n))
            assert min(len(split) for split in splits.values()) >= 1
            assert len(splits["train"]) >= 0.8 * n - 2


def test_scenarios_are_read_when_needed_and_series_can_be_sent_to_another_process(tmp_path):
    root = write_folder(tmp_path / "env", n_scenario=5)
    case = load_folder(root)
    (root / "chronics" / "003" / "load_p.csv").write_text("load_a;load_b;load_c\n1;2;oops\n")
    copy = pickle.loads(pickle.dumps(case.series))
    batch = np.array([0, 4, 1, 4]), np.array([0, 1, 2, 3], dtype=np.int32)
    for ours, theirs in zip(case.series.at(*batch), copy.at(*batch), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(first(case, 1, 4).load_p[0], case.series.at(*batch).load_p[1])
    np.testing.assert_array_equal(first(case, 2, 6).load_p, first(case, 2, 1).load_p)
    with pytest.raises(ValueError, match=r"003.*load_p\.csv cannot be read as a table of numbers.*oops"):
        first(case, 0, 3)
    with pytest.raises(ValueError, match="scenario -1 does not exist"):
        case.series.n_rows(-1)


def test_mixes(tmp_path):
    root = tmp_path / "mixed"
    for seed, mix in enumerate(("dry", "wet")):
        write_folder(root / mix)
        write_scenario(root / mix / "chronics" / "000", tables(100 * seed))
    (root / ".multimix").touch()
    case = load_folder(root)
    assert [str(scenario.relative_to(root)) for scenario in case.series.folders] == [
        "dry/chronics/000",
        "wet/chronics/000",
    ]
    np.testing.assert_allclose(first(case, 0, 1).load_p[0], tables(100)["load_p"][1][0], rtol=1e-6)


# ---------------------------------------------------------------------- rules
def test_difficulty_levels(folder):
    assert load_folder(folder).system.parameters.nb_timestep_reconnection == 10
    levels = {
        "0": {"NB_TIMESTEP_RECONNECTION": 1},
        "10": {"NB_TIMESTEP_RECONNECTION": 2, "NO_OVERFLOW_DISCONNECTION": "t"},
    }
    (folder / "parameters.json").write_text(json.dumps({"NB_TIMESTEP_TOPOLOGY_REMODIF": 4}))
    assert load_folder(folder).system.parameters.nb_timestep_cooldown_sub == 4
    (folder / "difficulty_levels.json").write_text(json.dumps(levels))
    hardest = load_folder(folder).system.parameters
    assert (hardest.nb_timestep_reconnection, hardest.no_overflow_disconnection) == (2, True)
    assert load_folder(folder, difficulty="0").system.parameters.nb_timestep_reconnection == 1
    levels["competition"] = {"NB_TIMESTEP_RECONNECTION": 3, "ALARM_BEST_TIME": 5}
    (folder / "difficulty_levels.json").write_text(json.dumps(levels))
    assert load_folder(folder).system.parameters.nb_timestep_reconnection == 3


def test_opponent(tmp_path):
    attack = load_folder(write_folder(tmp_path / "env", config=opponent_config())).system.attack
    assert attack.lines == ("l2", "l0", "l3")
    assert (attack.cooldown, attack.max_duration) == (288, 48)
    assert (attack.initial_budget, attack.budget_per_step) == (10.5, 0.25)


def test_without_an_opponent_the_lines_of_the_ring_may_be_attacked(folder):
    assert load_folder(folder).system.attack.lines == ("l0", "l1", "l2", "l3")
    changed = load_case(folder, attack={"lines": ("l1",)}).system.attack
    assert changed.lines == ("l1",)
    with pytest.raises(ValueError, match=r"unknown attack rule\(s\) \['price'\]"):
        load_case(folder, attack={"price": 3})


def test_config_is_data_and_never_run(tmp_path):
    path = tmp_path / "config.py"
    marker = tmp_path / "ran"
    path.write_text(
        f"import os\nfrom pathlib import Path\nfrom a import Rules, B as C\n"
        f"Path({str(marker)!r}).write_text('x')\n"
        "n = 12 * 24\n"
        "secret = os.environ['HOME']\n"
        "lines = ['a', 'b'] + ['c']\n"
        "config = {'rules': Rules([[0], [1]], keep=True), 'cooldown': -n / 2, 'lines': lines, 'c': C,\n"
        "          'secret': secret, 'made': [x for x in range(3)], 'big': 9 ** 9 ** 9}\n"
        "config['late'] = (1, None)\n"
    )
    config = read_config(path)
    assert not marker.exists()
    assert config.values == {
        "rules": Construct("Rules", ([[0], [1]],), {"keep": True}),
        "cooldown": -144.0,
        "lines": ["a", "b", "c"],
        "c": Symbol("C"),
        "late": (1, None),
    }
    assert set(config.skipped) == {"secret", "made", "big"}


def test_random_maintenance_follows_its_plan():
    plan = MaintenancePlan(
        n_line=6,
        lines=np.array([4, 1, 2], dtype=np.int32),
        start_hour=9,
        end_hour=17,
        probability=np.array([0.0, 0.6, 1.0] + [0.0] * 9),
        most=np.array([3, 3, 2] + [0] * 9),
        weekdays=(0, 1, 2, 3, 4),
    )
    start = np.datetime64("2021-01-29T23:55", "m")
    n_row = 288 * 50
    mask = draw_maintenance(plan, 3, start, n_row, 5.0)
    time = start + (np.arange(n_row) * 5).astype("timedelta64[m]")
    day = time.astype("datetime64[D]")
    month = day.astype("datetime64[M]").astype(int) % 12
    weekday = (day.astype(int) + 3) % 7
    minute = (time - day).astype(int)
    working = (weekday < 5) & (minute >= 9 * 60) & (minute < 17 * 60)
    assert not mask[~working].any()
    assert not mask[:, [0, 3, 5]].any()
    assert not mask[month == 0].any()
    assert (mask[working & (month == 2)].sum(axis=1) == 2).all()
    share = mask[working & (month == 1)][:, [1, 2, 4]].mean()
    assert 0.45 < share < 0.75
    whole_days = mask[working].reshape(-1, 96, 6)
    assert (whole_days.min(axis=1) == whole_days.max(axis=1)).all()
