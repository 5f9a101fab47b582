"""Imports go one way, and foreign packages stay where they belong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "marlgrid"

ORDER = (
    "compiled",
    "blocks",
    "lookup",
    "seeding",
    "model",
    "powerflow",
    "simulation",
    "task",
    "render",
    "env",
    "marlgrid_v0",
    "rllib",
)
"""A module may import from the same entry and from those to its left, nothing from those to its right."""

FOREIGN = {
    "numpy": ("",),
    "numba": ("",),
    "llvmlite": ("compiled", "powerflow.lanes"),
    "scipy": ("model", "powerflow", "simulation", "task"),
    "networkx": ("model.partition", "task.elements_graph", "task.observation_graphs", "task.rewards_topology"),
    "pandas": ("model.datasets", "powerflow.pandapower"),
    "pandapower": ("model.datasets", "powerflow.pandapower"),
    "grid2op": ("model.datasets",),
    "simbench": ("model.datasets",),
    "lightsim2grid": ("powerflow.lightsim",),
    "gymnasium": ("task", "env", "marlgrid_v0", "rllib"),
    "pettingzoo": ("env", "marlgrid_v0"),
    "matplotlib": ("render",),
    "ray": ("rllib",),
    "torch": ("rllib",),
}
"""Foreign package -> prefixes of the modules that may import it."""


def modules() -> dict[str, Path]:
    """Every module of the package by its name inside it: ``simulation.step``, and ``""`` for the package itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, source: str) -> Iterator[tuple[str, int, bool]]:
    """(dotted name, line, for types only) of all a module imports, lazily or not; ``from a import b`` is ``a.b``."""
    tree = ast.parse(source)
    guarded = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    typing_only = {id(node) for guard in guarded for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"marlgrid.{name}, line {node.lineno}: relative import; write the whole name"
            yield from ((f"{node.module}.{alias.name}", node.lineno, id(node) in typing_only) for alias in node.names)


def inside(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix + ".")


def complaints(name: str, source: str) -> list[str]:
    """One sentence per import that ``marlgrid.<name>`` must not contain."""
    found = []
    for target, line, _ in imported(name, source):
        top, _, rest = target.partition(".")
        where = f"marlgrid.{name}, line {line}, imports {target}: "
        if top == "marlgrid":
            here, there = name.split(".")[0], rest.split(".")[0]
            if there not in ORDER:
                found.append(where + "the package's front is for users, not for its own modules")
            elif here and ORDER.index(there) > ORDER.index(here):
                found.append(where + f"{here} comes before {there}")
        elif top not in sys.stdlib_module_names:
            allowed = FOREIGN.get(top)
            if allowed is None:
                found.append(where + "not a package that marlgrid depends on")
            elif not any(inside(name, prefix) for prefix in allowed):
                found.append(where + f"{top} is for {', '.join(allowed)} only")
    return found


@pytest.mark.parametrize("name", [name for name in modules() if name])
def test_imports_go_one_way(name):
    """The package's front itself ("") imports whatever it offers."""
    assert complaints(name, modules()[name].read_text()) == []


def test_every_folder_has_its_place():
    unknown = {name.split(".")[0] for name in modules() if name} - set(ORDER)
    assert not unknown, f"add {sorted(unknown)} to ORDER"


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("simulation.rules", "from marlgrid.task.actions import DiscreteActions", "simulation comes before task"),
        ("model.grid", "def f():\n    import marlgrid.env.parallel", "model comes before env"),
        ("simulation.step", "import pandapower as pp", "pandapower is for"),
        ("task.task", "import torch.nn", "torch is for"),
        ("task.task", "import requests", "not a package"),
        ("rllib.setup", "import marlgrid", "front"),
    ],
)
def test_a_wrong_import_is_found(name, source, words):
    assert words in complaints(name, source)[0]


def test_no_cycle():
    """No module reaches itself, lazy imports included (those for type checkers alone are not imports)."""
    names = modules()
    graph = {}
    for name, path in names.items():
        found = imported(name, path.read_text())
        targets = {target.removeprefix("marlgrid.") for target, _, for_types in found if not for_types}
        known = {t if t in names else t.rpartition(".")[0] for t in targets}
        graph[name] = sorted((known & names.keys()) - {name, ""})
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "import cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in graph[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in names:
        visit(name, ())


def test_import_is_light():
    """``import marlgrid`` loads none of the heavy packages: they come with the case, the solver or the picture."""
    heavy = ["pandapower", "pandas", "lightsim2grid", "grid2op", "matplotlib", "ray", "torch", "scipy.optimize"]
    code = f"import sys, marlgrid; print(*[name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == []
