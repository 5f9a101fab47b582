"""From voltages to flows: angles in all directions (the flows themselves are checked against other solvers)."""

from __future__ import annotations

import numpy as np
from numba import njit

from marlgrid.powerflow.lanes import WIDTH, eight
from marlgrid.powerflow.ohm import N_ARRAY, VOLTAGE, _polar


@njit
def polar(voltage, vn_kv, v_kv, theta):
    _polar(0.0, voltage, np.zeros(N_ARRAY, np.int64), vn_kv, np.empty(2 * len(vn_kv)), v_kv, theta)


@njit
def polar_of_eight(voltage, begin, vn_kv, v_kv, theta):
    _polar(eight(0.0), voltage, begin, vn_kv, np.empty(2 * WIDTH * len(vn_kv)), v_kv, theta)


def all_directions() -> np.ndarray:
    """Voltages at whose angles the short way and the long way meet, and a dead bus."""
    degrees = np.concatenate([np.linspace(-180.0, 180.0, 1441), [1e-300, -1e-9, 33.42, 33.43, -33.42, -33.43]])
    return np.append(np.linspace(0.5, 1.2, len(degrees)) * np.exp(1j * np.radians(degrees)), [0.0, 0.0])


def test_angles_in_all_directions():
    """Short way and long way, on both sides of where they meet; a dead bus has none."""
    voltage = all_directions()
    expected = np.angle(voltage, deg=True)
    v_kv, theta = np.empty((2, len(expected)))
    polar(voltage[None], np.full(len(expected), 20.0), v_kv, theta)
    np.testing.assert_allclose(theta, expected, rtol=4e-16, atol=0.0)
    np.testing.assert_allclose(v_kv, 20.0 * np.abs(voltage), rtol=1e-15)


def test_eight_rows_side_by_side_are_what_each_is_alone():
    """In any order of rows, near and far angles mixed."""
    rng = np.random.default_rng(5)
    voltage = rng.choice(all_directions(), (20, 7))
    members, vn_kv = rng.permutation(20)[:WIDTH], np.linspace(10.0, 400.0, 7)
    begin = np.zeros((N_ARRAY, WIDTH), np.int64)
    begin[VOLTAGE] = 2 * 7 * members
    v_kv, theta = np.empty((2, 7 * WIDTH))
    polar_of_eight(voltage, begin.ravel(), vn_kv, v_kv, theta)
    for lane, row in enumerate(members):
        alone_kv, alone_theta = np.empty((2, 7))
        polar(voltage[row : row + 1], vn_kv, alone_kv, alone_theta)
        np.testing.assert_array_equal(v_kv.reshape(7, WIDTH)[:, lane], alone_kv)
        np.testing.assert_array_equal(theta.reshape(7, WIDTH)[:, lane], alone_theta)
