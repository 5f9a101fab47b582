"""Zones by the name of a partition."""

from __future__ import annotations

import pytest

from experiments.settings import TrainSettings
from experiments.tasks import task_of
from experiments.zones_partitions import PARTITIONS, zones_spec
from marlgrid.model.datasets.case import load_case


@pytest.mark.parametrize(("partition", "n_zone", "expected"), [
    ("automatic", 0, [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 1, 1, 1, 2]),
    ("automatic", 1, [0] * 14),
    ("substation", 0, list(range(14))),
    ("voltage", 0, [0, 0, 0, 0, 0, 1, 1, 2, 1, 1, 1, 1, 1, 1]),
    ("scattered", 3, [0, 1, 2] * 4 + [0, 1]),
])  # fmt: skip
def test_labels(partition, n_zone, expected):
    assert load_case("case14", zones=zones_spec(partition, n_zone)).system.zones.labels.tolist() == expected


def test_tasks_of_training_runs():
    for partition in PARTITIONS:
        task = task_of(TrainSettings(case="case5", zones=2, partition=partition, tie_lines="origin"), "none", "train")
        assert task.system.zones.tie_lines == "origin"
        assert task.system.n_zone == {"substation": 5, "voltage": 1}.get(partition, 2)


def test_what_is_no_partition():
    with pytest.raises(ValueError, match=r"unknown partition 'north'.*scattered"):
        zones_spec("north")
    with pytest.raises(ValueError, match="at least 1"):
        zones_spec("scattered")
