"""From voltages to flows: angles in all directions (the flows themselves are checked against other solvers)."""

from __future__ import annotations

import numpy as np
from numba import njit

from marlgrid.powerflow.ohm import N_ARRAY, _polar


@njit
def polar(voltage, vn_kv, v_kv, theta):
    _polar(0.0, voltage, np.zeros(N_ARRAY, np.int64), vn_kv, np.empty(2 * len(vn_kv)), v_kv, theta)


def test_angles_in_all_directions():
    """Short way and long way, on both sides of where they meet; a dead bus has none."""
    degrees = np.concatenate([np.linspace(-180.0, 180.0, 1441), [1e-300, -1e-9, 33.42, 33.43, -33.42, -33.43]])
    size = np.linspace(0.5, 1.2, len(degrees))
    voltage = np.append(size * np.exp(1j * np.radians(degrees)), [0.0, 0.0])[None]
    expected = np.angle(voltage[0], deg=True)
    v_kv, theta = np.empty((2, len(expected)))
    polar(voltage, np.full(len(expected), 20.0), v_kv, theta)
    np.testing.assert_allclose(theta, expected, rtol=4e-16, atol=0.0)
    np.testing.assert_allclose(v_kv, 20.0 * np.abs(voltage[0]), rtol=1e-15)
