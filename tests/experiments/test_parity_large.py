"""Grid2Op and marlgrid in lock step on the environments of 36 and 118 substations: every policy, 60 steps."""

from __future__ import annotations

import pytest

pytest.importorskip("grid2op")

from experiments.parity_actions import POLICIES
from experiments.parity_worlds import CASES
from tests.experiments.agreement import agree, worlds


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", CASES[9:])
def test_both_agree(case, policy):
    agree(worlds(case), policy, n_step=60, n_simulate=2, n_action=4)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", CASES[9:])
def test_both_agree_for_longer(case, policy):
    agree(worlds(case), policy, n_step=200, n_simulate=5, n_action=20)
