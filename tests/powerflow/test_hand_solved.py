"""Networks of two and three substations, solved on paper.

The angle of 7-24-25 (sine 0.28, cosine 0.96) keeps the numbers round: over a reactance x between voltages u and v the
power is u v sin / x, and the reactive power that arrives is (u v cos - v^2) / x, which is none at all for v = 0.96 u.
"""

from __future__ import annotations

import numpy as np
import pytest

from marlgrid.powerflow.dc import DCPowerFlow
from marlgrid.powerflow.lightsim import LightSimPowerFlow
from tests.powerflow.hand import BASE_A, hand_grid, with_storage
from tests.powerflow.states import cold, every_row, operating_point

ANGLE = np.degrees(np.arcsin(0.28))
SOURCE = {"sub": 0, "slack": True}


def solved(grid, power_flow=LightSimPowerFlow, **changes):
    """The flow of one row: the grid's operating point with changes."""
    inputs = operating_point(grid)._replace(**{k: np.array([v], dtype=float) for k, v in changes.items()})
    flow = power_flow(grid).solve(inputs, cold(grid), every_row(1))
    assert flow.converged.tolist() == [True]
    return type(flow)(*(array[0] for array in flow))


def test_reactance_between_source_and_load():
    """
    gen 1.0 o---- x = 0.1 ----o load 2.688

    v = 0.96, angle -16.26 degree: p = 0.96 * 0.28 / 0.1 = 2.688, and nothing reactive arrives. The line itself takes
    (1 - 0.96 * 0.96) / 0.1 = 0.784. The current is 2.688 / 0.96 = 2.8.
    """
    flow = solved(hand_grid(2, [{"f": 0, "t": 1, "x": 0.1}], [SOURCE], [{"sub": 1, "p": 2.688}]))
    np.testing.assert_allclose([flow.p_or[0], flow.q_or[0], flow.v_or[0], flow.theta_or[0]], [268.8, 78.4, 100, 0])
    np.testing.assert_allclose([flow.p_ex[0], flow.v_ex[0], flow.theta_ex[0]], [-268.8, 96, -ANGLE])
    np.testing.assert_allclose(flow.q_ex[0], 0, atol=1e-6)
    np.testing.assert_allclose([flow.a_or[0], flow.a_ex[0]], 2.8 * BASE_A)
    np.testing.assert_allclose([flow.gen_p[0], flow.gen_q[0], flow.gen_v[0]], [268.8, 78.4, 100])
    np.testing.assert_allclose([flow.load_p[0], flow.load_v[0], flow.load_theta[0]], [268.8, 96, -ANGLE])
    np.testing.assert_allclose(flow.voltage, [1, 0.96 * (0.96 - 0.28j), 0, 0], atol=1e-9)


def test_resistance_between_source_and_load():
    """
    gen 1.0 o---- r = 0.1 ----o load 0.9

    v = 0.9 in phase: the current is (1 - 0.9) / 0.1 = 1, so 0.9 arrives of the 1.0 sent and 0.1 is lost.
    """
    flow = solved(hand_grid(2, [{"f": 0, "t": 1, "r": 0.1}], [SOURCE], [{"sub": 1, "p": 0.9}]))
    np.testing.assert_allclose([flow.p_or[0], flow.p_ex[0], flow.v_ex[0], flow.a_or[0]], [100, -90, 90, BASE_A])
    np.testing.assert_allclose([flow.q_or[0], flow.theta_ex[0]], 0, atol=1e-6)


def test_transformer_lowers_and_turns_the_voltage():
    """
    gen 1.0 o--(1.25 at 30 degree)--- x = 0.1 ---o load 1.72032

    Behind the ideal transformer stands 1 / 1.25 = 0.8 at -30 degree; then as above with u = 0.8: v = 0.768,
    p = 0.8 * 0.768 * 0.28 / 0.1 = 1.72032 and (0.8^2 - 0.768^2 / 0.96 * 0.96...) = (0.64 - 0.589824) / 0.1 taken.
    """
    line = {"f": 0, "t": 1, "x": 0.1, "ratio": 1.25, "shift": 30.0}
    flow = solved(hand_grid(2, [line], [SOURCE], [{"sub": 1, "p": 1.72032}]))
    np.testing.assert_allclose([flow.v_ex[0], flow.theta_ex[0]], [76.8, -30 - ANGLE])
    np.testing.assert_allclose([flow.p_or[0], flow.q_or[0]], [172.032, 50.1760])


def test_charging_at_each_end_belongs_to_that_end():
    """
    gen 1.0 o--+-- x = 0.1 --+--o load 2.688 - 0.1 v^2 j ...
               |             |
            0.2j            0.1j

    A charging of 0.1j at the far end gives 0.1 * 0.96^2 = 0.09216, which the load takes: the voltages of the first
    network stay, and the near end's 0.2j lowers what the source gives by 0.2 to 0.784 - 0.2 = 0.584.
    """
    line = {"f": 0, "t": 1, "x": 0.1, "y_or": 0.2j, "y_ex": 0.1j}
    flow = solved(hand_grid(2, [line], [SOURCE], [{"sub": 1, "p": 2.688, "q": 0.09216}]))
    np.testing.assert_allclose([flow.v_ex[0], flow.theta_ex[0], flow.gen_q[0]], [96, -ANGLE, 58.4])
    np.testing.assert_allclose(flow.q_ex[0], -9.216)


def test_shunt_draws_with_the_square_of_the_voltage():
    """
    gen 1.0 o---- x = 0.1 ----o load 2.688 + 0.1843j, shunt of -0.2 MVAr per unit (a capacitor)

    The capacitor gives 0.2 * 0.96^2 = 0.18432, just what the load takes.
    """
    shunt = {
        "name_shunt": ("shunt_0",),
        "shunt_to_subid": np.array([1], dtype=np.int32),
        "shunt_p_mw": np.zeros(1),
        "shunt_q_mvar": np.array([-20.0]),
    }
    flow = solved(hand_grid(2, [{"f": 0, "t": 1, "x": 0.1}], [SOURCE], [{"sub": 1, "p": 2.688, "q": 0.18432}], **shunt))
    np.testing.assert_allclose([flow.load_v[0], flow.shunt_q[0], flow.shunt_v[0]], [96, -18.432, 96])


def test_storage_and_static_generator_are_power_alone():
    """
    gen 1.0 o---- x = 0.1 ----o load 3.0 + 0.5j, storage charging at 0.188, static generator 0.5 + 0.5j

    What remains is 3.0 + 0.188 - 0.5 = 2.688 and nothing reactive: the first network.
    """
    static = {"sub": 1, "p": 0.5, "q": 0.5, "static": True}
    grid = hand_grid(
        2, [{"f": 0, "t": 1, "x": 0.1}], [static, SOURCE], [{"sub": 1, "p": 3.0, "q": 0.5}], **with_storage({}, 1)
    )
    flow = solved(grid, storage_p=[18.8])
    np.testing.assert_allclose([flow.load_v[0], flow.gen_p[1], flow.gen_q[1]], [96, 268.8, 78.4])
    np.testing.assert_allclose([flow.gen_p[0], flow.gen_q[0], flow.gen_v[0]], [50, 50, 96])
    np.testing.assert_allclose([flow.storage_p[0], flow.storage_v[0], flow.storage_theta[0]], [18.8, 96, -ANGLE])


def test_two_sources_share_a_load_between_them():
    """
    gen 1.0 o--- x = 0.1 ---o gen 1.0, p = 2.688
             \\             /
           x = 0.1     x = 0.1
               \\         /
                o-------o  load 5.376

    By symmetry nothing flows between the sources, and each feeds half the load as in the first network.
    """
    lines = [{"f": 0, "t": 1, "x": 0.1}, {"f": 0, "t": 2, "x": 0.1}, {"f": 1, "t": 2, "x": 0.1}]
    flow = solved(hand_grid(3, lines, [SOURCE, {"sub": 1, "p": 2.688}], [{"sub": 2, "p": 5.376}]))
    np.testing.assert_allclose(flow.p_or, [0, 268.8, 268.8], atol=1e-6)
    np.testing.assert_allclose([flow.gen_p, flow.gen_q], [[268.8, 268.8], [78.4, 78.4]])
    np.testing.assert_allclose([flow.load_v[0], flow.load_theta[0]], [96, -ANGLE])


@pytest.mark.parametrize(
    ("q_range", "shares"), [((30.0, 10.0), (0.75, 0.25)), (None, (0.5, 0.5)), ((0, 0), (0.5, 0.5))]
)
def test_generators_on_one_bus_share_reactive_power_by_their_range(q_range, shares):
    """
    gen_0, gen_1 1.0 o---- x = 0.1 ----o load 2.688      gen_1 has p = 1.0
    """
    grid = hand_grid(
        2,
        [{"f": 0, "t": 1, "x": 0.1}],
        [SOURCE, {"sub": 0, "p": 1.0}],
        [{"sub": 1, "p": 2.688}],
        gen_q_range_mvar=None if q_range is None else np.array(q_range, dtype=float),
    )
    flow = solved(grid)
    np.testing.assert_allclose(flow.gen_p, [168.8, 100])
    np.testing.assert_allclose(flow.gen_q, np.array(shares) * 78.4)


def test_linear_flow_divides_by_reactance():
    """
    gen o--- x = 0.1 ---o          3.0 goes straight over 0.1 and around over 0.2: 2.0 and 1.0.
         \\             /           The angle at the load is -2.0 * 0.1 = -0.2 radian, halfway -0.1.
       x = 0.1     x = 0.1
           \\         /
            o-------o
    """
    lines = [{"f": 0, "t": 1, "x": 0.1, "r": 9.0}, {"f": 0, "t": 2, "x": 0.1}, {"f": 2, "t": 1, "x": 0.1}]
    grid = hand_grid(3, lines, [SOURCE | {"v": 1.05}], [{"sub": 1, "p": 3.0, "q": 1.0}])
    flow = solved(grid, DCPowerFlow)
    np.testing.assert_allclose(flow.p_or, [200, 100, 100])
    np.testing.assert_allclose(flow.p_ex, [-200, -100, -100])
    np.testing.assert_allclose(flow.theta_ex, np.degrees([-0.2, -0.1, -0.2]))
    np.testing.assert_allclose(flow.a_or, np.array([2 / 1.05, 1 / 1.05, 1]) * BASE_A)
    np.testing.assert_allclose([flow.gen_p[0], flow.gen_q[0], flow.load_q[0], flow.v_or[0]], [300, 0, 0, 105])


def test_linear_flow_of_a_phase_shifter():
    """
    gen o--- x = 0.1 ----------------o load 2.0
         \\--- x = 0.1, 0.1 radian ---/

    The shifter holds 0.1 / (0.1 + 0.1) = 0.5 back: 1.5 and 0.5.
    """
    shifter = {"f": 0, "t": 1, "x": 0.1, "shift": np.degrees(0.1)}
    flow = solved(hand_grid(2, [{"f": 0, "t": 1, "x": 0.1}, shifter], [SOURCE], [{"sub": 1, "p": 2.0}]), DCPowerFlow)
    np.testing.assert_allclose(flow.p_or, [150, 50])
