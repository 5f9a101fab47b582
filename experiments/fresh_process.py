"""What is measured in a process of its own, as scripts that print numbers."""

from __future__ import annotations

import os
import subprocess
import sys

START_SCRIPT = """
from time import process_time
begun = process_time()
import marlgrid
imported = process_time()
marlgrid.parallel_env("case14")
print(imported - begun, process_time() - imported)
"""

COLD_SCRIPT = """
import os
from time import perf_counter
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
begun = perf_counter()
import marlgrid
env = marlgrid.parallel_env("case14", opponent="agent")
env.reset(seed=0)
env.step(dict.fromkeys(env.agents, 0))
print(perf_counter() - begun)
"""

MEMORY_SCRIPT = """
from dataclasses import replace
from pathlib import Path
from resource import getpagesize
import marlgrid
system, series = marlgrid.load_case("case118")
def play():
    env = marlgrid.parallel_env((replace(system), series), opponent="agent")
    env.reset(seed=0)
    for _ in range(3):
        env.step(dict.fromkeys(env.agents, 0))
    return env
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / 2**20
kept = [play(), play()]
before = resident()
kept += [play() for _ in range(5)]
print((resident() - before) / 5)
"""


def fresh_process(script: str, **environment: str) -> list[float]:
    """The numbers that a script prints, with these variables of the environment set."""
    surroundings = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=surroundings)
    if done.returncode != 0:
        raise RuntimeError(f"the script failed:\n{script}\n{done.stderr}")
    return [float(word) for word in done.stdout.split()]
