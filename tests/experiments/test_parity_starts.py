"""How episodes start, in lock step with Grid2Op: initial states of the data and of a reset, limits of an episode."""

from __future__ import annotations

import importlib.util
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("grid2op")

from experiments.parity_lock_step import LockStep

FIRST = {
    "set_line_status": {"1_3_3": -1},
    "set_bus": {
        "lines_or_id": [["1_2_2", 2]],
        "lines_ex_id": [["0_1_0", 2]],
        "generators_id": [["gen_1_0", 2]],
        "loads_id": {"load_1_0": 2},
    },
}
"""What the scenario starts with: substation 1 split, a line out."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A shipped environment with one scenario and an initial state for it."""
    shipped = Path(importlib.util.find_spec("grid2op").submodule_search_locations[0]) / "data" / "educ_case14_storage"
    made = tmp_path_factory.mktemp("grid") / "split"
    first = "2019-01-12"

    def others(parent, names):
        return [name for name in names if Path(parent).name == "chronics" and name != first]

    shutil.copytree(shipped, made, ignore=others)
    (made / "chronics" / first / "init_state.json").write_text(json.dumps(FIRST))
    return made


def agree(case, options=None, parameters=None, n_step=15) -> LockStep:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = LockStep(str(case), 1.0, parameters)
        pair.options = options or {}
        tally = pair.run("random", n_step, progress=False)
    assert tally.mismatches == []
    return pair


def first_state(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair.reset(0)
    return pair.state


def test_the_initial_state_of_a_scenario(folder):
    state = first_state(agree(folder))
    assert (state.topology.topo_vect == 2).sum() == 4
    assert (state.topology.topo_vect == -1).sum() == 2
    assert (state.counters.time_before_cooldown_sub == 0).all()


def test_the_initial_state_of_a_scenario_may_be_ignored(folder):
    pair = agree(folder, parameters={"ignore_initial_state_time_serie": True})
    assert (first_state(pair).topology.topo_vect == 1).all()


@pytest.mark.parametrize(
    ("asked", "n_out", "n_split"),
    [
        ({"set_line_status": [(3, 1)]}, 0, 4),
        ({"set_line_status": [(0, -1)]}, 4, 3),
        ({"set_bus": {"lines_or_id": [(3, 2)]}}, 0, 5),
        ({"set_bus": {"lines_ex_id": [(0, 1)]}, "set_line_status": [(10, -1)]}, 4, 3),
        ({"set_bus": {"lines_or_id": [(2, -1)]}}, 4, 3),
        ({"set_line_status": [(4, -1)], "method": "ignore"}, 2, 0),
        ({"redispatch": [(0, 2.0)], "set_storage": [(0, 1.0)], "curtail": [(2, 0.1)]}, 2, 4),
    ],
)
def test_an_initial_state_on_top_of_that(folder, asked, n_out, n_split):
    state = first_state(agree(folder, {"init state": asked}))
    assert ((state.topology.topo_vect == -1).sum(), (state.topology.topo_vect == 2).sum()) == (n_out, n_split)


def test_limits_of_an_episode(folder):
    shipped = LockStep(str(folder)).system.thermal_limit
    pair = agree("educ_case14_storage", {"thermal limit": shipped * 0.7}, n_step=30)
    np.testing.assert_allclose(first_state(pair).thermal_limit[0], shipped * 0.7)
    assert pair.tally.trips > 0
