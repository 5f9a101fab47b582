"""Attack plans of ours and of Grid2Op's opponents follow the same laws."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("grid2op")

from experiments import opponent_statistics as study

pytestmark = pytest.mark.filterwarnings("ignore")


def test_attacks_are_counted_by_episode_and_area():
    out = np.zeros((2, 10, 3), dtype=bool)
    out[0, 2:5, 0] = out[0, 4:6, 2] = out[0, 7:, 1] = True
    found = study.attacks_of(out, [np.array([True, True, False]), np.array([False, False, True])])
    assert found.count.tolist() == [3, 0]
    assert sorted(found.first.tolist()) == [2, 4]
    assert found.between.tolist() == [5]
    assert sorted(found.duration.tolist()) == [2, 3], "the last one is cut by the end"
    assert sorted(found.line.tolist()) == [0, 1, 2]


def test_the_tests_tell_laws_apart():
    rng = np.random.default_rng(0)
    one, same = (rng.geometric(0.1, 400) for _ in range(2))
    other = rng.geometric(0.13, 400)
    for test in (study._ks, study._chi_square):
        assert test(one, same) > 0.01
        assert test(one, other) < 0.001
    assert study._chi_square(np.full(9, 3), np.full(7, 3)) == 1.0


@pytest.mark.parametrize("name", ["random", "weighted", "geometric"])
def test_a_few_episodes(name):
    """The p-values of these episodes, drawn from the seed, are above the bound of the whole study."""
    found = study.compare(name, 60, 500)
    bound = study.LEVEL / (5 * len(study.CASES))
    assert found.ours.count.sum() > 60
    assert min(found.p.values()) > bound, study.report(found)


@pytest.mark.slow
def test_a_thousand_episodes(capsys):
    assert study.main([]) == 0
    assert "agree=True" in capsys.readouterr().out
