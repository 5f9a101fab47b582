"""The study of growth: its arithmetic, and one run on small grids."""

from __future__ import annotations

import pytest

from experiments import growth
from experiments.growth import Point


def test_slope_is_the_exponent():
    points = [Point("a", n, 5.0 * n**1.5, 2.0 * n, 3.0 * n**0.5) for n in (10, 100, 1000)]
    assert growth.slope(points, "step") == pytest.approx(1.5)
    assert growth.slope(points, "solver") == pytest.approx(1.0)
    assert growth.slope(points, "around") == pytest.approx(0.5)
    assert "| exponent |  | 1.50 | 1.00 | 0.50 |  |" in growth.table(points)


def test_a_run_prints_its_table_and_its_budget(capsys, tmp_path):
    growth.main(["--case", "case5", "case14", "--seconds", "0.01", "--plot", str(tmp_path / "growth.png")])
    printed = capsys.readouterr().out
    assert "| case5 | 5 |" in printed
    assert "budget=<=1 measured=" in printed
    assert (tmp_path / "growth.png").stat().st_size > 10_000
