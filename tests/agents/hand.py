"""Grids of two or three substations as whole tasks, with nothing but constant schedules, for answers known by hand."""

from __future__ import annotations

import numpy as np

from marlgrid.env.registry import make_task
from marlgrid.model.datasets.arrays import ArraySeries
from marlgrid.model.parameters import Parameters
from marlgrid.model.system import System
from marlgrid.model.zones import make_zones
from tests.powerflow.hand import hand_grid

AMPS_PER_MW = 1000 / (np.sqrt(3) * 100)
"""At the nominal voltage of the hand-made grids."""


def constant(grid, gen_p, load_p, zones, n_row=60, **parameters):
    """A task on DC power flow: ``gen_p`` (n_gen,) or (n_row, n_gen) and ``load_p`` likewise, MW."""
    system = System(grid, make_zones(grid, zones), Parameters(**parameters))
    tables = {
        "prod_p": rows(gen_p, n_row), "load_p": rows(load_p, n_row), "load_q": 0 * rows(load_p, n_row),
        "prod_v": rows(np.full(grid.n_gen, 100.0), n_row),
    }  # fmt: skip
    series = ArraySeries(grid, [tables], delta_time=5.0, n_horizon=1)
    return make_task((system, series), power_flow="dc")


def rows(values, n_row):
    values = np.asarray(values, dtype=float)
    return values if values.ndim == 2 else np.repeat(values[None], n_row, axis=0)


def twin_lines():
    r"""Two generators feed a load over two equal lines of unequal limits.

        gen_0, gen_1 --(sub_0)==line_0 (70 MW)==(sub_1)-- load_0
                             ==line_1 (30 MW)==

    Joined, each line carries half; with ``gen_0`` and ``line_0`` on one busbar, each carries its generator's power.
    """
    return hand_grid(
        2,
        lines=[{"f": 0, "t": 1, "x": 0.1}, {"f": 0, "t": 1, "x": 0.1}],
        gens=[{"sub": 0, "slack": True}, {"sub": 0}],
        loads=[{"sub": 1}],
        thermal_limit=np.array([70.0, 30.0]) * AMPS_PER_MW,
    )


def triangle(limit=45.0, ramp=20.0):
    r"""Two generators and a load on three equal lines: line_1 carries (2 gen_0 + gen_1) / 3.

        gen_0 --(sub_0)--line_0--(sub_1)-- gen_1
                     \\            /
                    line_1     line_2
                        \\      /
                        (sub_2)-- load_0

    Only ``line_1`` has a limit that matters.
    """
    ends = [(0, 1), (0, 2), (1, 2)]
    return hand_grid(
        3,
        lines=[{"f": f, "t": t, "x": 0.1} for f, t in ends],
        gens=[{"sub": 0, "slack": True}, {"sub": 1}],
        loads=[{"sub": 2}],
        thermal_limit=np.array([1000.0, limit, 1000.0]) * AMPS_PER_MW,
        gen_max_ramp_up=np.full(2, ramp),
        gen_max_ramp_down=np.full(2, ramp),
    )
