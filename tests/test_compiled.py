"""Compiled code is made anew when any of the files that it was made of changes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from marlgrid.compiled import _files, kernel, rule
from marlgrid.simulation import step


def test_a_kernel_knows_all_its_files():
    names = {Path(file).name for file in _files(step._decide.py_func)}
    assert {
        "step.py",
        "rules.py",
        "judge.py",
        "topology.py",
        "dispatch.py",
        "state.py",
        "tables.py",
        "blocks.py",
    } <= names


@rule
def doubled(x):
    return 2 * x


@kernel
def quadrupled(x):
    return doubled(doubled(x))


def test_parts_of_kernels_are_for_kernels_alone():
    assert quadrupled(3) == 12
    with pytest.raises(TypeError, match="doubled is compiled for kernels alone"):
        doubled(3)


def module(folder: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def test_a_change_in_another_file_is_noticed(tmp_path, monkeypatch):
    inner, outer = tmp_path / "inner_kernel.py", tmp_path / "outer_kernel.py"
    head = "from marlgrid.compiled import kernel\n"
    outer.write_text(head + "from inner_kernel import one\n@kernel\ndef two(x):\n    return 2 * one(x)\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for value in (1, 1, 5):
        text = head + f"@kernel\ndef one(x):\n    return x + {value}\n"
        if not inner.exists() or inner.read_text() != text:
            inner.write_text(text)
            os.utime(inner, (value, value))
        module(tmp_path, "inner_kernel")
        two = module(tmp_path, "outer_kernel").two
        found.append((two(1), sum(two.stats.cache_hits.values())))
    assert found == [(4, 0), (4, 1), (12, 0)]
