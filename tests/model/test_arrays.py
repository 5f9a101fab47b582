"""Series of the user's own tables, the counters of outages, and the cache that serves rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from marlgrid.model.datasets.arrays import ArraySeries, hazard_counters, maintenance_counters
from marlgrid.model.datasets.case import load_case
from marlgrid.model.scenario_cache import ScenarioCache
from marlgrid.model.time_series import ScenarioArrays

N_ROW = 6
MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 3)))


@pytest.fixture(scope="module")
def grid():
    return load_case("case5").system.grid


def tables_of(grid, seed=0, n_row=N_ROW):
    rng = np.random.default_rng(seed)

    def table(names):
        return pd.DataFrame(rng.uniform(1, 2, size=(n_row, len(names))), columns=list(names))

    tables = {"load_p": table(grid.name_load), "load_q": table(grid.name_load), "prod_p": table(grid.name_gen)}
    return {**tables, "prod_v": 200 * table(grid.name_gen)}


# ---------------------------------------------------------------------- counters
@given(MASKS)
def test_maintenance_counters_by_their_definition(mask):
    time_next, duration = maintenance_counters(mask)
    for row, line in np.ndindex(mask.shape):
        later = np.flatnonzero(mask[row:, line])
        wait = int(later[0]) if len(later) else -1
        assert time_next[row, line] == wait
        length = 0
        while wait >= 0 and row + wait + length < len(mask) and mask[row + wait + length, line]:
            length += 1
        assert duration[row, line] == length


@given(MASKS)
def test_hazard_counters_by_their_definition(mask):
    left = hazard_counters(mask)
    for row, line in np.ndindex(mask.shape):
        up = np.flatnonzero(~mask[row:, line])
        assert left[row, line] == (int(up[0]) if len(up) else len(mask) - row)


def test_a_week_of_counters_as_written_out():
    mask = np.array([[0, 1, 1, 0, 0, 1, 0]]).T
    time_next, duration = maintenance_counters(mask)
    assert time_next[:, 0].tolist() == [1, 0, 0, 2, 1, 0, -1]
    assert duration[:, 0].tolist() == [2, 2, 1, 1, 1, 1, 0]
    assert hazard_counters(mask)[:, 0].tolist() == [0, 2, 1, 0, 0, 1, 0]
    assert time_next.dtype == duration.dtype == np.int32


def test_a_mask_needs_rows_and_lines():
    with pytest.raises(ValueError, match=r"give \(n_row, n_line\)"):
        maintenance_counters(np.zeros(3))


# ---------------------------------------------------------------------- rows
def test_columns_are_matched_by_name_whatever_their_order(grid):
    tables = tables_of(grid)
    shuffled = {name: table[table.columns[::-1]] for name, table in tables.items()}
    one, other = ArraySeries(grid, [tables]), ArraySeries(grid, {"a day": shuffled})
    assert other.names == ("a day",)
    rows = one.at(np.zeros(N_ROW, dtype=int), np.arange(N_ROW))
    for mine, yours in zip(rows, other.at(np.zeros(N_ROW, dtype=int), np.arange(N_ROW)), strict=True):
        assert np.array_equal(mine, yours)
    assert rows.load_q == pytest.approx(tables["load_q"].to_numpy(), rel=1e-6)
    assert rows.gen_v == pytest.approx(tables["prod_v"].to_numpy(), rel=1e-6)


def test_plain_arrays_serve_too_and_set_points_may_be_left_out(grid):
    tables = {name: table.to_numpy() for name, table in tables_of(grid).items() if name != "prod_v"}
    rows = ArraySeries(grid, [tables]).at(np.array([0, 0]), np.array([0, 3]))
    assert rows.gen_p == pytest.approx(tables["prod_p"][[0, 3]], rel=1e-6)
    assert rows.gen_v == pytest.approx(np.broadcast_to(grid.gen_v_kv, (2, grid.n_gen)), rel=1e-6)
    assert (rows.time_next_maintenance == -1).all()


def test_outages_need_only_the_columns_that_have_any(grid):
    line = grid.name_line[2]
    mask = [0, 0, 1, 1, 0, 0]
    tables = {**tables_of(grid), "maintenance": pd.DataFrame({line: mask}), "hazards": pd.DataFrame({line: mask})}
    rows = ArraySeries(grid, [tables]).at(np.zeros(N_ROW, dtype=int), np.arange(N_ROW))
    assert rows.time_next_maintenance[:, 2].tolist() == [2, 1, 0, 0, -1, -1]
    assert rows.duration_next_maintenance[:, 2].tolist() == [2, 2, 2, 1, 0, 0]
    assert rows.hazard_duration[:, 2].tolist() == [0, 0, 2, 1, 0, 0]
    assert (np.delete(rows.time_next_maintenance, 2, axis=1) == -1).all()


def test_forecasts_foresee_or_persist_and_never_foresee_hazards(grid):
    line = grid.name_line[0]
    outages = {name: pd.DataFrame({line: [0, 0, 1, 1, 1, 0]}) for name in ("maintenance", "hazards")}
    tables = {**tables_of(grid), **outages}
    asked = np.array([0]), np.array([1])
    perfect, persistent = ArraySeries(grid, [tables]), ArraySeries(grid, [tables], forecast="persistence")
    assert np.array_equal(perfect.forecast(*asked, 2).load_p, perfect.at(np.array([0]), np.array([3])).load_p)
    assert np.array_equal(persistent.forecast(*asked, 2).load_p, perfect.at(*asked).load_p)
    for one in (perfect, persistent):
        assert one.forecast(*asked, 2).time_next_maintenance[0, 0] == 0
        assert one.forecast(*asked, 2).hazard_duration[0, 0] == 0
        assert one.forecast(np.array([0]), np.array([2]), 2).hazard_duration[0, 0] == 1
        with pytest.raises(ValueError, match="choose from 1 to 12"):
            one.forecast(*asked, 13)


def test_scenarios_of_different_lengths_and_starts(grid):
    series = ArraySeries(
        grid, [tables_of(grid, 1), tables_of(grid, 2, n_row=9)], start=["2024-01-01", np.datetime64("2024-05-01T12:00")]
    )
    assert [series.n_rows(number) for number in (0, 1)] == [N_ROW, 9]
    assert series.start(1) == np.datetime64("2024-05-01T12:00")
    rows = series.at(np.array([0, 1, 0, 1]), np.array([5, 8, 7, 8]))
    assert np.array_equal(rows.load_p[0], rows.load_p[2])
    assert rows.load_p[1] == pytest.approx(tables_of(grid, 2, n_row=9)["load_p"].to_numpy()[8], rel=1e-6)


def test_splits_are_disjoint_where_there_are_enough_scenarios(grid):
    splits = ArraySeries(grid, [tables_of(grid, seed) for seed in range(10)]).splits
    numbers = [number for split in ("train", "validation", "test") for number in splits[split]]
    assert sorted(numbers) == list(range(10))


def test_an_episode_runs_on_own_tables():
    case = load_case("case5")
    grid, given = case.system.grid, case.series
    rows = given.at(np.zeros(20, dtype=int), np.arange(20))
    tables = {"load_p": rows.load_p, "load_q": rows.load_q, "prod_p": rows.gen_p}
    system, series = load_case((case.system, ArraySeries(grid, [tables])), zones=1)
    assert system.n_zone == 1
    assert series.at(np.array([0]), np.array([7])).load_p == pytest.approx(rows.load_p[7:8], rel=1e-6)


# ---------------------------------------------------------------------- errors
def changed(tables, **changes):
    return {name: table for name, table in {**tables, **changes}.items() if table is not None}


def with_value(table, row, value):
    table = table.astype(object)
    table.iloc[row, 0] = value
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: changed(t, load_p=None), r"missing table\(s\) \['load_p'\]"),
        (lambda t: changed(t, prod_q=t["prod_p"]), r"unknown table\(s\) \['prod_q'\]"),
        (lambda t: changed(t, load_p=t["load_p"].iloc[:, 1:]), r"load_p has missing column\(s\) \['load_1_0'\]"),
        (lambda t: changed(t, prod_p=t["prod_p"].assign(other=1.0)), r"prod_p has unknown column\(s\) \['other'\]"),
        (lambda t: changed(t, load_q=t["load_q"][["load_1_0", *t["load_q"]]]), r"load_q has repeated column\(s\)"),
        (lambda t: changed(t, load_p=t["load_p"].to_numpy()[:, 1:]), r"load_p has shape \(6, 2\), give \(n_row, 3\)"),
        (lambda t: changed(t, load_p=with_value(t["load_p"], 4, np.nan)), "1 value.* missing .* for load_1_0 in row 4"),
        (lambda t: changed(t, load_p=with_value(t["load_p"], 0, np.inf)), "infinite, the first for load_1_0 in row 0"),
        (lambda t: changed(t, prod_p=with_value(t["prod_p"], 0, "x")), "prod_p holds values that are not numbers"),
        (lambda t: changed(t, load_q=t["load_q"].iloc[:4]), "unequal lengths .*'load_q': 4"),
        (lambda t: {name: table.iloc[:1] for name, table in t.items()}, r"1 row\(s\), give at least 2"),
        (lambda t: changed(t, prod_v=-t["prod_v"]), "prod_v holds voltages that are not positive"),
        (lambda t: changed(t, maintenance=pd.DataFrame({"0_1_0": [2] * 6})), "maintenance must hold 0 and 1 only"),
        (
            lambda t: changed(t, hazards=pd.DataFrame({"9_9_9": [0] * 6})),
            r"hazards has unknown column\(s\) \['9_9_9'\]",
        ),
    ],
)
def test_wrong_tables_are_refused_with_what_is_wrong(grid, change, message):
    tables = change(tables_of(grid))
    with pytest.raises(ValueError, match=message) as caught:
        ArraySeries(grid, {"monday": tables})
    assert "scenario 'monday'" in str(caught.value)


def test_all_problems_of_a_scenario_are_named_at_once(grid):
    tables = changed(tables_of(grid), load_p=None, prod_p=tables_of(grid)["prod_p"].iloc[:, 1:])
    with pytest.raises(ValueError, match=r"missing table\(s\).*prod_p has missing column"):
        ArraySeries(grid, [tables])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenarios": []}, "no scenario given"),
        ({"forecast": "oracle"}, "unknown forecast 'oracle'"),
        ({"start": ["2024-01-01", "2024-01-02"]}, "2 start times for 1 scenarios"),
    ],
)
def test_wrong_settings_are_refused(grid, options, message):
    with pytest.raises(ValueError, match=message):
        ArraySeries(grid, **{"scenarios": [tables_of(grid)], **options})


def test_an_unknown_scenario_is_refused(grid):
    with pytest.raises(ValueError, match="scenario 1 does not exist, choose from 0 to 0"):
        ArraySeries(grid, [tables_of(grid)]).at(np.array([1]), np.array([0]))


# ---------------------------------------------------------------------- the cache
def numbered(number):
    """A scenario whose every value tells its number and row; longer ones for higher numbers."""
    rows = np.arange(3 + number)
    values = np.repeat((100 * number + rows)[:, None], 4, axis=1).astype(np.float32)
    return ScenarioArrays(values, np.zeros((len(rows), 3), dtype=np.int32), np.datetime64("2024-01-01"))


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20)), min_size=1, max_size=6), max_size=12),
    st.integers(1, 900),
)
def test_the_cache_gives_the_right_rows_whatever_fits(batches, max_bytes):
    loaded = []

    def load(number):
        loaded.append(number)
        return numbered(number)

    cache = ScenarioCache(load, n_load=1, n_gen=1, n_line=1, max_bytes=max_bytes)
    for batch in batches:
        scenario, t = (np.array(column) for column in zip(*batch, strict=True))
        before = len(loaded)
        rows = cache.rows(scenario, t)
        assert rows.load_p[:, 0].tolist() == [100 * k + min(row, 2 + k) for k, row in batch]
        assert len(loaded) - before <= len(set(scenario.tolist()))


def test_room_is_not_made_by_what_a_batch_goes_on_with():
    """Five fit, four are in use: a fifth and a sixth that begin make room by one of those in use, which comes back."""
    loaded, same = [], numbered(0)
    n_bytes = sum(part.nbytes for part in same[:2])
    cache = ScenarioCache(lambda number: loaded.append(number) or same, 1, 1, 1, 5 * n_bytes)
    now = np.zeros(4, dtype=np.int32)
    cache.rows(np.arange(4), now)
    for new in (4, 5):
        cache.rows(np.array([new]), now[:1])
    assert loaded == [0, 1, 2, 3, 4, 5]
    cache.rows(np.array([0, 1, 2, 5]), now)
    assert loaded[6:] == [0], "not one after the other, each in the place of the next"


def test_what_fits_is_loaded_once():
    loaded = []
    cache = ScenarioCache(lambda number: loaded.append(number) or numbered(number), 1, 1, 1)
    for _ in range(5):
        cache.rows(np.arange(8), np.zeros(8, dtype=int))
    assert loaded == list(range(8))


def test_an_interrupted_load_leaves_no_scenario_in_the_place_of_another():
    """Two fit; the second of two that make room for themselves cannot be read, and the question comes again."""
    broken = {3}

    def load(number):
        if number in broken:
            raise OSError("not readable")
        return numbered(number)

    n_bytes = sum(part.nbytes for part in numbered(0)[:2])
    cache = ScenarioCache(load, 1, 1, 1, 2 * n_bytes)
    now = np.zeros(2, dtype=np.int32)
    cache.rows(np.array([0, 1]), now)
    with pytest.raises(OSError, match="not readable"):
        cache.rows(np.array([2, 3]), now)
    assert cache.rows(np.array([0, 1]), now).load_p[:, 0].tolist() == [0.0, 100.0]
    broken.clear()
    assert cache.rows(np.array([2, 3]), now).load_p[:, 0].tolist() == [200.0, 300.0]


def test_questions_of_other_types_are_other_questions():
    """The bytes of two small numbers are those of a large one."""
    cache = ScenarioCache(numbered, 1, 1, 1)
    one = cache.rows(np.array([1], dtype=np.int64), np.zeros(1, dtype=int))
    two = cache.rows(np.array([1, 0], dtype=np.int32), np.zeros(2, dtype=int))
    assert one.load_p.tolist() == [[100.0]]
    assert two.load_p.tolist() == [[100.0], [0.0]]


def test_many_rows_at_once():
    """More than fit on a stack."""
    t = np.arange(2_000_000) % 5
    assert ScenarioCache(numbered, 1, 1, 1).rows(np.full(len(t), 2), t).load_p[:, 0].tolist() == (200.0 + t).tolist()
