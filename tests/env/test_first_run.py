"""A cold start is announced, a warm one is silent; it needs no right to write, and many may start at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import marlgrid
from marlgrid.env import first_run

DRAW = """
import numpy as np, marlgrid
from marlgrid import seeding
print(marlgrid.__file__, seeding.normal(np.array([1]), np.zeros(1, dtype=np.int64), 2, 4).tolist())
"""
STEP = """
import marlgrid
print(marlgrid.__file__)
env = marlgrid.make("case14")
env.reset(seed=7)
observations = env.step(dict.fromkeys(env.agents, 0))[0]
print({agent: observation.tobytes().hex() for agent, observation in observations.items()})
"""


TOLD = """
import time
from pathlib import Path
from marlgrid.env import first_run
first_run.ELSEWHERE = "import marlgrid; from pathlib import Path; Path('told').write_text(marlgrid.__file__)"
with first_run._other_half():
    pass
"""
TURNS = """
import time
from pathlib import Path
from marlgrid.env import first_run
with first_run._alone(), Path("turns").open("a") as turns:
    for letter in "<>":
        turns.write(letter)
        turns.flush()
        time.sleep(0.05)
"""


@pytest.fixture
def cold(monkeypatch):
    """As on a machine where nothing is compiled, and compiling takes no time; what is played is counted."""
    played = []
    first_run.compile_kernels.cache_clear()
    monkeypatch.setattr(first_run, "_compiled", lambda: False)
    monkeypatch.setattr(first_run, "play_once", lambda: played.append(1))
    monkeypatch.setattr(first_run, "ELSEWHERE", "pass")
    yield played
    first_run.compile_kernels.cache_clear()


def test_cold_start_is_announced_once(cold, caplog):
    assert [first_run.compile_kernels(), first_run.compile_kernels()] == [True, True]
    assert len(cold) == 1
    assert caplog.text.count("compiling") == 1


def test_warm_start_is_silent(cold, caplog, monkeypatch):
    monkeypatch.setattr(first_run, "_compiled", lambda: True)
    assert not first_run.compile_kernels()
    assert not cold
    assert not caplog.text


@pytest.mark.parametrize("interpreter", ["", "/nowhere/python"])
def test_where_there_can_be_no_other_process(cold, monkeypatch, interpreter):
    monkeypatch.setattr(sys, "executable", interpreter)
    assert first_run.compile_kernels()
    assert len(cold) == 1


def test_the_other_half_is_left_when_this_one_is_interrupted(cold, monkeypatch):
    monkeypatch.setattr(first_run, "ELSEWHERE", "import time; time.sleep(600)")
    begun = []
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: begun.append(popen(*a, **k)) or begun[0])

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(first_run, "play_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        first_run.compile_kernels()
    assert begun[0].returncode == -signal.SIGKILL


def test_the_other_process_needs_no_file_of_the_program(tmp_path):
    """The program comes through a pipe, in a folder with another package of the same name."""
    (tmp_path / "marlgrid.py").write_text("raise ImportError('not this one')")
    home = str(Path(marlgrid.__file__).parents[1])
    program = f"import sys; sys.path[0] = {home!r}\n{TOLD}"
    subprocess.run([sys.executable, "-"], input=program, text=True, check=True, cwd=tmp_path)
    assert (tmp_path / "told").read_text() == marlgrid.__file__


def test_one_process_compiles_at_a_time(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    begun = [subprocess.Popen([sys.executable, "-c", TURNS], cwd=tmp_path, env=environment) for _ in range(3)]
    assert [process.wait() for process in begun] == [0, 0, 0]
    assert (tmp_path / "turns").read_text() == "<>" * 3


def test_nobody_waits_for_ever(monkeypatch):
    """Another process holds the lock and has been halted."""
    monkeypatch.setattr(first_run, "PATIENCE", 0.4)
    with first_run._alone():
        begun = time.monotonic()
        with first_run._alone():
            assert 0.3 < time.monotonic() - begun < 30


def test_what_is_played_works():
    """In this process, where all is compiled."""
    first_run.play_once()
    first_run.solve_once()
    first_run.generate_once()
    assert first_run._compiled()


@pytest.mark.parametrize("code", [DRAW, pytest.param(STEP, marks=pytest.mark.slow)], ids=["draw", "step"])
def test_a_package_that_cannot_be_written_to(tmp_path, code):
    """Where its compiled code would go there is a file, in the way of anybody; the user's cache takes it."""
    package = tmp_path / "site" / "marlgrid"
    shutil.copytree(Path(marlgrid.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
        (folder / "__pycache__").write_text("")
        folder.chmod(0o555)
    user = tmp_path / "user"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(package.parent), "XDG_CACHE_HOME": str(user), "HOME": str(user)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
        )
    finally:
        for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    assert done.stdout.startswith(str(package))
    assert list(user.rglob("*.nbc"))


@pytest.mark.parametrize("code", [DRAW, pytest.param(STEP, marks=pytest.mark.slow)], ids=["draw", "step"])
def test_many_processes_compile_at_once(tmp_path, code):
    """On one empty cache they all come to the same numbers, and so does one that finds it full."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}

    def begun():
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)

    printed = [process.communicate()[0] for process in [begun() for _ in range(3)]]
    printed.append(begun().communicate()[0])
    assert len(printed[0]) > 20
    assert len(set(printed)) == 1
    assert list(tmp_path.rglob("*.nbc"))
