"""A cold start is announced, a warm one is silent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = "from marlgrid.env.first_run import announce_compilation as a; print(a(), a())"


def run(**environment):
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout.strip(), done.stderr


def test_cold_start_is_announced_once(tmp_path):
    out, err = run(NUMBA_CACHE_DIR=str(tmp_path), PYTHONPATH=str(Path.cwd()))
    assert out == "True True"
    assert err.count("compiling") == 1
