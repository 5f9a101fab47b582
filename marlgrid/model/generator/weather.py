"""Wind and solar production of each site: simple physics on smooth random weather."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

LATITUDE_DEG = 45.0
"""Of every generated grid."""
WIND_SCALE = 7.5
"""m/s, scale of the Weibull distribution (shape 2) of the yearly wind speed."""
CUT_IN, RATED = 3.0, 12.0
"""m/s: speeds at which a wind farm starts to produce, and from which it produces all it can."""


def wind_share(weather: np.ndarray, gusts: np.ndarray, day_of_year: float) -> np.ndarray:
    """(n_row, n_site) production of wind farms as a share of pmax.

    ``weather`` and ``gusts`` (n_row, n_site) are standard normal: the first is mapped to a Weibull speed, windier in
    winter than in summer; the second shakes the speed by some per cent.
    """
    season = 1.0 + 0.12 * math.cos(2.0 * math.pi * (day_of_year - 15.0) / 365.0)
    return _wind_share(weather, gusts, WIND_SCALE * season)


def solar_share(clouds: np.ndarray, flicker: np.ndarray, day_of_year: float, minutes: np.ndarray) -> np.ndarray:
    """(n_row, n_site) production of solar plants as a share of pmax, 0 from sunset to sunrise.

    ``clouds`` and ``flicker`` (n_row, n_site) are standard normal; ``minutes`` (n_row,) since midnight of day 0.
    """
    return _solar_share(clouds, flicker, clear_sky(day_of_year, minutes))


def clear_sky(day_of_year: float, minutes: np.ndarray) -> np.ndarray:
    """(n_row,) share of pmax that a plant produces under a clear sky: the sine of the sun's height over Cooper's
    declination (Duffie and Beckman, "Solar Engineering of Thermal Processes"), less what thick air takes near dawn."""
    day = day_of_year + minutes / 1440.0
    declination = np.radians(23.45) * np.sin(2.0 * np.pi * (284.0 + np.floor(day)) / 365.0)
    hour_angle = 2.0 * np.pi * (minutes / 1440.0 - 0.5)
    latitude = math.radians(LATITUDE_DEG)
    height = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
    return np.clip(height, 0.0, 1.0) ** 1.15


@njit(cache=True)
def _wind_share(weather, gusts, scale):
    share = np.empty_like(weather)
    for row in range(share.shape[0]):
        for site in range(share.shape[1]):
            exceeded = max(0.5 * math.erfc(weather[row, site] / math.sqrt(2.0)), 1e-12)
            speed = scale * math.sqrt(-math.log(exceeded)) * (1.0 + 0.025 * gusts[row, site])
            power = (speed**3 - CUT_IN**3) / (RATED**3 - CUT_IN**3)
            share[row, site] = min(max(power, 0.0), 1.0)
    return share


@njit(cache=True)
def _solar_share(clouds, flicker, clear):
    share = np.empty_like(clouds)
    for row in range(share.shape[0]):
        for site in range(share.shape[1]):
            sky = 0.5 * math.erfc(-(clouds[row, site] + 0.5) / math.sqrt(2.0))
            # Light flickers most under broken clouds, little under a clear or a covered sky.
            light = 0.2 + 0.8 * sky + 0.16 * sky * (1.0 - sky) * flicker[row, site]
            share[row, site] = clear[row] * min(max(light, 0.1), 1.0)
    return share
