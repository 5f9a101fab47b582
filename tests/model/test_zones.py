"""Zones from every kind of description, automatic ones connected and balanced, and a clear error for each mistake."""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.model.datasets.case import load_case
from marlgrid.model.partition import electrical_distance, is_connected
from marlgrid.model.zones import Zones, make_zones


@pytest.fixture(scope="module")
def grids():
    return {name: load_case(name).system.grid for name in ("case5", "case14", "case118")}


@pytest.fixture(scope="module")
def grid(grids):
    return grids["case14"]


def neighbours_of(grid):
    linked = np.zeros((grid.n_sub, grid.n_sub), dtype=bool)
    linked[grid.line_or_to_subid, grid.line_ex_to_subid] = True
    return linked | linked.T


@pytest.mark.parametrize(
    ("name", "k"),
    [
        ("case5", 2),
        ("case5", 5),
        *(("case14", k) for k in (1, 2, 3, 4, 6)),
        *(("case118", k) for k in (2, 3, 5, 8, 12)),
    ],
)
def test_automatic_zones_are_connected_balanced_and_numbered_by_their_first_substation(grids, name, k):
    grid = grids[name]
    labels = make_zones(grid, k).labels
    size = np.bincount(labels, minlength=k)
    neighbours = neighbours_of(grid)
    assert len(size) == k
    assert size.min() >= 1
    assert size.max() <= 1.25 * grid.n_sub / k + 1
    assert all(is_connected(neighbours, np.flatnonzero(labels == zone)) for zone in range(k))
    assert list(dict.fromkeys(labels.tolist())) == list(range(k))
    assert np.array_equal(labels, make_zones(grid, k).labels)


def test_automatic_zones_are_electrically_closer_inside_than_drawn_ones(grid):
    distance = electrical_distance(grid)

    def inside(labels):
        return distance[labels[:, None] == labels[None, :]].mean()

    shuffled = [np.random.default_rng(seed).permutation(make_zones(grid, 3).labels) for seed in range(20)]
    assert inside(make_zones(grid, 3).labels) < 0.8 * min(inside(labels) for labels in shuffled)


def test_electrical_distance_of_a_series_and_a_parallel_path(grids):
    grid = grids["case5"]
    distance = electrical_distance(grid)
    assert np.allclose(distance, distance.T)
    assert np.allclose(np.diag(distance), 0)
    # With all others in parallel, two substations are closer than the one line between them.
    for line in range(grid.n_line):
        ends = grid.line_or_to_subid[line], grid.line_ex_to_subid[line]
        assert 0 < distance[ends] < grid.line_x_pu[line]


@pytest.mark.parametrize(
    "spec",
    [
        [[0, 1, 2, 3, 4], [5, 10, 11, 12], [6, 7, 8, 9, 13]],
        {"north": ["sub_0", 1, 2, 3, "sub_4"], "west": [5, 10, 11, 12], "east": [6, 7, 8, 9, 13]},
        [0] * 5 + [1] + [2] * 4 + [1] * 3 + [2],
        np.array([0] * 5 + [1] + [2] * 4 + [1] * 3 + [2]),
        ["n"] * 5 + ["w"] + ["e"] * 4 + ["w"] * 3 + ["e"],
        lambda grid: [0] * 5 + [1] + [2] * 4 + [1] * 3 + [2],
    ],
)
def test_every_description_of_a_partition_gives_it(grid, spec):
    labels = make_zones(grid, spec).labels
    assert labels.dtype == np.int32
    members = {frozenset(np.flatnonzero(labels == zone).tolist()) for zone in range(3)}
    assert members == {frozenset({0, 1, 2, 3, 4}), frozenset({5, 10, 11, 12}), frozenset({6, 7, 8, 9, 13})}


def test_the_order_of_lists_is_kept_and_other_labels_are_numbered_by_first_substation(grid):
    rest = list(range(1, 14))
    assert make_zones(grid, [rest, [0]]).labels[0] == 1
    assert make_zones(grid, ["b", *["a"] * 13]).labels.tolist() == [0] + [1] * 13
    assert make_zones(grid, [7, *[3] * 13]).labels.tolist() == [0] + [1] * 13
    assert make_zones(grid, [1, *[0] * 13]).labels.tolist() == [1] + [0] * 13


def test_one_zone_one_per_substation_and_ready_zones(grid):
    assert make_zones(grid, 1).n_zone == 1
    assert make_zones(grid, "substation").labels.tolist() == list(range(14))
    zones = make_zones(grid, make_zones(grid, 3), "origin")
    assert zones.tie_lines == "origin"
    assert np.array_equal(zones.labels, make_zones(grid, 3).labels)


def test_a_zone_need_not_be_connected(grid):
    assert make_zones(grid, [[0, 13], list(range(1, 13))]).n_zone == 2


def test_ties_are_known_to_both_neighbours_and_switched_as_told(grid):
    zones = load_case("case14").system.zones
    assert isinstance(zones, Zones)
    ties = np.flatnonzero(zones.is_tie)
    assert len(ties)
    for line in ties:
        assert zones.line_in_zone[:, line].sum() == 2
        assert zones.may_switch[:, line].sum() == 2
        assert (
            make_zones(grid, zones, "origin").may_switch[:, line].tolist()
            == (np.arange(3) == zones.line_or[line]).tolist()
        )
        assert not make_zones(grid, zones, "none").may_switch[:, line].any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([list(range(13))], "in no zone: sub_13"),
        ([list(range(14)), [3]], "sub_3 is in zone 0 and in 1"),
        ([[0, *range(14)]], "zone 0 lists sub_0 twice"),
        ([[*range(14), 14]], "unknown substation 14"),
        ([[*range(13), "sub_99"]], "unknown substation 'sub_99'.*in no zone: sub_13"),
        ([[*range(13), True]], "unknown substation True"),
        ([[*range(14)], []], "zone 1 is empty"),
        ({"a": "sub_0"}, "in no zone"),
        (0, "0 zones asked for; give 1 to 14"),
        (15, "15 zones asked for; give 1 to 14"),
        ("areas", "unknown zones 'areas'"),
        ([0, 1, 0], "3 zone labels .* give 14"),
        (lambda grid: [0, 1], "2 zone labels .* give 14"),
        ([0.5] * 14, "zone labels are float64"),
    ],
)
def test_wrong_zones_are_refused_with_what_is_wrong(grid, spec, message):
    with pytest.raises(ValueError, match=message):
        make_zones(grid, spec)


@pytest.mark.parametrize("spec", [True, 2.5, None])
def test_what_is_no_description_at_all_is_a_type_error(grid, spec):
    with pytest.raises(TypeError, match="give a number of zones"):
        make_zones(grid, spec)


def test_unknown_tie_lines_are_refused(grid):
    with pytest.raises(ValueError, match="unknown tie_lines 'all'; choose from"):
        make_zones(grid, 3, "all")
