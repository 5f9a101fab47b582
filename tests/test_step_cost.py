"""What one step of the default task costs, in numbers that do not depend on the machine: calls and memory."""

from __future__ import annotations

import sys
import tracemalloc
from statistics import median

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import marlgrid

AT_MOST = {
    "Python calls": 88,
    "calls of C functions": 72,
    "kernel calls": 14,
    "bytes taken at once": 8_500,
    "arrays kept": 2,
}
"""Medians over the steps of one episode of case14 in which nobody acts; "arrays kept" is of the whole episode.

Lower them when a step gets cheaper. Python 3.11; later versions call less.
"""
STEPS = 30


@pytest.fixture(scope="module")
def env():
    """Warm: everything compiled, every store filled with what an episode without actions meets."""
    env = marlgrid.parallel_env("case14", zones=3, opponent="agent")
    env.reset(seed=3)
    for _ in range(STEPS):
        env.step(dict.fromkeys(env.agents, 0))
    env.reset(seed=3)
    return env


def played(env, before, after):
    """Median over the steps of an episode of what ``after`` gives for each."""
    env.reset(seed=3)
    found = []
    for _ in range(STEPS):
        nothing = dict.fromkeys(env.agents, 0)
        before()
        env.step(nothing)
        found.append(after())
    assert len(env.agents) == 4
    return np.median(found, axis=0)


def calls(env):
    """Python functions and C functions called."""
    seen = {"call": 0, "c_call": 0}

    def watch(frame, event, argument):
        if event in seen:
            seen[event] += 1

    def begin():
        seen.update(call=0, c_call=0)
        sys.setprofile(watch)

    def end():
        sys.setprofile(None)
        return seen["call"], seen["c_call"]

    return played(env, begin, end)


def test_calls(env):
    python, c = calls(env)
    assert python <= AT_MOST["Python calls"]
    assert c <= AT_MOST["calls of C functions"]


def test_kernel_calls(env, monkeypatch):
    count = [0]

    def counted(kernel):
        def call(*arguments):
            count[0] += 1
            return kernel(*arguments)

        return call

    modules = [module for name, module in sys.modules.items() if name.startswith("marlgrid.")]
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, Dispatcher):
                monkeypatch.setattr(module, name, counted(value))
    kernels = median(played(env, lambda: count.__setitem__(0, 0), lambda: (count[0],)))
    assert 5 < kernels <= AT_MOST["kernel calls"]


def test_memory(env):
    def kept():
        domain = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        return len(tracemalloc.take_snapshot().filter_traces([domain]).traces)

    tracemalloc.start()
    try:
        state = {}

        def begin():
            tracemalloc.reset_peak()
            state["bytes"] = tracemalloc.get_traced_memory()[0]

        def end():
            return (tracemalloc.get_traced_memory()[1] - state["bytes"],)

        (peak,) = played(env, begin, end)
        before = kept()
        played(env, begin, end)
        more = kept() - before
    finally:
        tracemalloc.stop()
    assert peak <= AT_MOST["bytes taken at once"]
    assert more <= AT_MOST["arrays kept"]
