"""Colours and symbols of the pictures, one table for all of them."""

from __future__ import annotations

import colorsys
from datetime import datetime

import numpy as np

from marlgrid.model.time_series import TimeSeries
from marlgrid.simulation.state import State

INK, MUTED, PAPER, RULE = "#22303C", "#6B7885", "#FFFFFF", "#D9DFE5"
ATTACK, OUT, PLANNED, TRIP, SPLIT = "#8E24AA", "#98A4AE", "#3B73B9", "#DB2B39", "#3E7CB1"

ZONE_COLOURS = ("#3E7CB1", "#2A9D8F", "#C98B2B", "#B5658F", "#7A8F2E", "#8C6A4F", "#5C6F9E", "#5BA3C9")

GEN_COLOURS = {
    "thermal": "#6D5A4E",
    "nuclear": "#C2548A",
    "hydro": "#2F7FC1",
    "wind": "#3FA796",
    "solar": "#F2B134",
}
LOAD_COLOUR, STORAGE_COLOUR = "#4A5560", "#5A9E4B"

RHO_STOPS = (
    (0.0, "#B4C0C9"),
    (0.4, "#7FAE8A"),
    (0.7, "#8DB13F"),
    (0.85, "#EDB92E"),
    (0.97, "#F07F2E"),
    (1.0, "#DB2B39"),
    (1.3, "#8E0B1D"),
)
"""Loading of a line (rho) and its colour; linear in between."""


def zone_colour(zone: int) -> str:
    """A colour per zone: a hand-picked few, then hues as far apart as the golden angle puts them."""
    if zone < len(ZONE_COLOURS):
        return ZONE_COLOURS[zone]
    return hex_colour(np.array(colorsys.hls_to_rgb((0.618 * zone) % 1.0, 0.46, 0.45)))


def rgb(colour: str) -> np.ndarray:
    """(3,) in [0, 1] out of ``#rrggbb``."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def hex_colour(channels: np.ndarray) -> str:
    """``#rrggbb`` out of (3,) in [0, 1]."""
    return "#{:02x}{:02x}{:02x}".format(*np.round(255 * channels).astype(int))


def rho_colour(rho: np.ndarray) -> np.ndarray:
    """(..., 3) colours of loadings."""
    at = [stop for stop, _ in RHO_STOPS]
    table = np.array([rgb(colour) for _, colour in RHO_STOPS])
    return np.stack([np.interp(rho, at, table[:, channel]) for channel in range(3)], axis=-1)


def clock(state: State, series: TimeSeries | None, row: int) -> tuple[str, str]:
    """("Mon 07 Jan 2030 08:35", "step 103 of 288"); the date is empty without a time series."""
    step = f"step {state.t[row] - state.t_start[row]} of {state.t_end[row] - state.t_start[row]}"
    if series is None:
        return "", step
    passed = np.timedelta64(round(60 * series.delta_time * int(state.t[row])), "s")
    now: datetime = (series.start(int(state.scenario[row])) + passed).astype("datetime64[s]").item()
    return f"{now:%a %d %b %Y  %H:%M}", step
