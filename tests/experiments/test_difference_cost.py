"""What difference rewards cost, measured on a few steps."""

from __future__ import annotations

import re

from experiments.difference_cost import main


def test_the_command(capsys):
    main(["--case", "case5", "--zones", "2", "--envs", "3", "--steps", "14"])
    told = capsys.readouterr().out
    forks = [float(found) for found in re.findall(r"\(([\d.]+) steps", told)]
    assert forks[0] == 0
    assert forks == sorted(forks)
    assert 0 < forks[-1] <= 2
    assert all(float(ratio) > 0 for ratio in re.findall(r": ([\d.]+)$", told, flags=re.MULTILINE))
