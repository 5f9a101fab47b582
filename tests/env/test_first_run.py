"""A cold start is announced, a warm one is silent; it needs no right to write, and many may start at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import marlgrid

CODE = "from marlgrid.env.first_run import announce_compilation as a; print(a(), a())"
DRAW = """
import numpy as np, marlgrid
from marlgrid import seeding
print(marlgrid.__file__, seeding.normal(np.array([1]), np.zeros(1, dtype=np.int64), 2, 4).tolist())
"""
STEP = """
import marlgrid
env = marlgrid.make("case14")
env.reset(seed=7)
observations = env.step(dict.fromkeys(env.agents, 0))[0]
print({agent: observation.tobytes().hex() for agent, observation in observations.items()})
"""


def run(**environment):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.strip(), done.stderr


def test_cold_start_is_announced_once(tmp_path):
    out, err = run(NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(Path.cwd()))
    assert out == "True True"
    assert err.count("compiling") == 1


def test_a_package_that_cannot_be_written_to(tmp_path):
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
            [sys.executable, "-c", DRAW], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
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
