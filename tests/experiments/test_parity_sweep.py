"""The comparison over many runs goes on where it stopped, and sums up what it found."""

from __future__ import annotations

import pytest

pytest.importorskip("grid2op")

from experiments import parity
from experiments.parity_actions import POLICIES
from experiments.parity_sweep import Run, as_table, read, runs_asked, sweep
from experiments.parity_worlds import CASES

WRONG = "scenario 0 step 3: rho[2] there 0.5, here 0.6"


def pretend(asked) -> Run:
    """A run without the two worlds: hostile actions find a mismatch."""
    wrong = [WRONG] * (asked.policy == "hostile")
    ends = {"ISLANDED": 2}
    return Run(asked, asked.steps, len(wrong), 0, 0, 1, 0.25, 0.5, {}, ends, {"dispatch-share": 2}, wrong)


def fail_at_hostile(asked) -> Run:
    if asked.policy == "hostile":
        raise KeyboardInterrupt
    return pretend(asked)


def refuse(asked) -> Run:
    raise AssertionError(f"{asked} was played again")


def test_the_states_to_simulate_on_are_shared_out_over_the_policies():
    asked = runs_asked(CASES, POLICIES, 2000, 200)
    assert len(asked) == len(set(asked)) == len(CASES) * len(POLICIES)
    assert {one.simulate for one in asked} == {34}


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path, capsys):
    file, asked = tmp_path / "runs" / "found.jsonl", runs_asked(["a"], ["nothing", "random", "hostile"], 10)
    with pytest.raises(KeyboardInterrupt):
        sweep(asked, file, jobs=1, player=fail_at_hostile)
    assert {run.asked.policy for run in read(file)} == {"nothing", "random"}
    sweep(asked[2:], file, jobs=1, player=pretend)
    assert "are read from" not in capsys.readouterr().out
    assert sweep(asked, file, jobs=1, player=refuse) == [pretend(one) for one in asked]
    assert f"3 of 3 runs are read from {file}, as an earlier command played them" in capsys.readouterr().out


def test_a_longer_run_is_played_and_a_shorter_one_is_not(tmp_path):
    file = tmp_path / "found.jsonl"
    for steps in (10, 20):
        assert [run.steps for run in sweep(runs_asked(["a"], ["nothing"], steps), file, 1, pretend)] == [steps]
    assert [run.steps for run in sweep(runs_asked(["a"], ["nothing"], 5), file, 1, refuse)] == [20]
    assert len(read(file)) == 2
    with pytest.raises(AssertionError, match="played again"):
        sweep(runs_asked(["a"], ["nothing"], 5, seed=1), file, 1, refuse)


@pytest.mark.parametrize("line", ["{", "[]", '{"asked": {"case": "a"}}', '{"steps": 3}'])
def test_a_line_that_is_no_run_is_named(tmp_path, line):
    file, asked = tmp_path / "found.jsonl", runs_asked(["a"], ["nothing"], 10)
    sweep(asked, file, 1, pretend)
    file.write_text(file.read_text() + line)
    with pytest.raises(ValueError, match=r"line 2 is not a run .* delete"):
        sweep(asked, file, 1, refuse)


def test_the_table_has_every_run_the_first_mismatches_and_the_sums_last():
    lines = as_table([pretend(one) for one in runs_asked(["a", "b"], ["nothing", "hostile"], 10)]).splitlines()
    assert [line.split()[:4] for line in lines[1:5]] == [
        [case, *rest] for case in "ab" for rest in (["nothing", "10", "0"], ["hostile", "10", "1"])
    ]
    assert lines[5:] == [
        f"a hostile: {WRONG}",
        f"b hostile: {WRONG}",
        "simulated=0, excluded={'dispatch-share': 8}",
        "steps=40, mismatches=2",
    ]


@pytest.mark.parametrize(("policy", "status"), [("nothing", 0), ("hostile", 1)])
def test_a_mismatch_is_the_status_of_the_command(monkeypatch, tmp_path, capsys, policy, status):
    monkeypatch.setattr(parity, "sweep", lambda asked, *_: [pretend(one) for one in asked])
    line = ["--case", "a", "b", "--policy", policy, "--steps", "10", "--results", str(tmp_path / "found.jsonl")]
    assert parity.main(line) == status
    assert capsys.readouterr().out.splitlines()[-1] == f"steps=20, mismatches={2 * status}"


def test_real_runs_in_two_processes(tmp_path):
    file = tmp_path / "found.jsonl"
    line = ["--case", "rte_case5_example", "--policy", "nothing", "hostile", "--steps", "5", "--jobs", "2"]
    assert parity.main([*line, "--results", str(file)]) == 0
    assert [run.steps for run in read(file)] == [5, 5]
