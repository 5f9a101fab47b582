"""What the world does to the grid: injections and planned or accidental outages of every scenario and step."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol

import numpy as np


class Injections(NamedTuple):
    """One row of the time series for each environment of a batch."""

    load_p: Annotated[np.ndarray, "load", "f8"]
    """(n_env, n_load) MW."""
    load_q: Annotated[np.ndarray, "load", "f8"]
    """(n_env, n_load) MVAr."""
    gen_p: Annotated[np.ndarray, "gen", "f8"]
    """(n_env, n_gen) MW, the schedule before redispatch and curtailment."""
    gen_v: Annotated[np.ndarray, "gen", "f8"]
    """(n_env, n_gen) kV, voltage set points."""
    time_next_maintenance: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 steps to the next maintenance, 0 during one, -1 if none is planned."""
    duration_next_maintenance: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 remaining length of the current or length of the next maintenance, 0 if none."""
    hazard_duration: Annotated[np.ndarray, "line", "i4"]
    """(n_env, n_line) int32 remaining length of an unplanned outage, 0 if none."""


class TimeSeries(Protocol):
    """Injections of numbered scenarios; row 0 is the reset, a scenario of n rows lasts n - 1 steps.

    A pure function of its arguments (caches aside): any row of any scenario, in any order, in any process, is the same.
    """

    n_horizon: int
    """Number of forecast horizons: 1 is the next step."""
    delta_time: float
    """Minutes between rows."""
    splits: dict[str, range]
    """Disjoint ranges of scenario numbers: ``train``, ``validation``, ``test``."""

    def n_rows(self, scenario: int) -> int:
        """Rows of a scenario."""

    def start(self, scenario: int) -> np.datetime64:
        """Date and time of row 0."""

    def at(self, scenario: np.ndarray, t: np.ndarray) -> Injections:
        """Rows ``t`` (n_env,) of ``scenario`` (n_env,).

        A series may offer ``fill(scenario, t, out)`` too, which writes them into the arrays of ``out``.
        """

    def forecast(self, scenario: np.ndarray, t: np.ndarray, horizon: int) -> Injections:
        """What is expected at ``t + horizon`` as seen at ``t``; planned maintenance is known, hazards are not."""


class ScenarioArrays(NamedTuple):
    """One scenario, all rows: the columns of ``values`` are load_p | load_q | gen_p | gen_v, of ``outages`` the three
    line quantities of ``Injections`` in their order."""

    values: np.ndarray
    """(n_row, 2 * n_load + 2 * n_gen) float32."""
    outages: np.ndarray
    """(n_row, 3 * n_line) int32."""
    start: np.datetime64


def unpack_rows(values: np.ndarray, outages: np.ndarray, n_load: int, n_gen: int) -> Injections:
    """``Injections`` out of gathered rows (n_env, ...) laid out as in ``ScenarioArrays``."""
    n_line = outages.shape[1] // 3
    load, gen = 2 * n_load, 2 * n_load + n_gen
    return Injections(
        load_p=values[:, :n_load],
        load_q=values[:, n_load:load],
        gen_p=values[:, load:gen],
        gen_v=values[:, gen:],
        time_next_maintenance=outages[:, :n_line],
        duration_next_maintenance=outages[:, n_line : 2 * n_line],
        hazard_duration=outages[:, 2 * n_line :],
    )
