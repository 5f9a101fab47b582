"""Small Grid2Op environment folders written by the tests themselves, so that Grid2Op is not needed."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from functools import lru_cache

import numpy as np
import pandapower
import pandapower.networks

N_ROW = 12
LOADS = ("load_a", "load_b", "load_c")
GENS = ("gen_x", "gen_y", "gen_slack")
LINES = ("l0", "l1", "l2", "l3", "t4")

CONFIG = """
from grid2op.Chronics import Multifolder, {reader}
import nothing_that_exists

nothing_that_exists.explode()
config = {{
    "chronics_class": Multifolder,
    "grid_value_class": {reader},
    "thermal_limits": {limits},
    "names_chronics_to_grid": {names},
{more}
}}
"""


@lru_cache
def network():
    """Four substations in a ring at 100 kV, a fifth behind a transformer, as json."""
    net = pandapower.create_empty_network()
    for bus in range(5):
        pandapower.create_bus(net, 100.0 if bus < 4 else 20.0, name=f"sub_{bus}")
    for line, (a, b) in enumerate([(0, 1), (1, 2), (2, 3), (3, 0)]):
        pandapower.create_line_from_parameters(net, a, b, 10.0, 0.05, 0.4, 10.0, 0.5, name=f"l{line}")
    pandapower.create_transformer_from_parameters(net, 3, 4, 50.0, 100.0, 20.0, 0.5, 10.0, 0.0, 0.0, name="t4")
    for name, bus in zip(LOADS, (1, 2, 4), strict=True):
        pandapower.create_load(net, bus, 10.0, 3.0, name=name)
    pandapower.create_gen(net, 1, 10.0, vm_pu=1.01, name="gen_x")
    pandapower.create_gen(net, 2, 10.0, vm_pu=1.02, name="gen_y")
    pandapower.create_gen(net, 0, 10.0, vm_pu=1.03, slack=True, name="gen_slack")
    return pandapower.to_json(net)


def numbers(n_column, seed, n_row=N_ROW):
    return np.round(np.random.default_rng(seed).uniform(5.0, 12.0, (n_row, n_column)), 1)


def csv(names, values):
    return "\n".join([";".join(names), *(";".join(str(value) for value in row) for row in values)]) + "\n"


WRITERS = {
    ".csv": lambda path, text: path.write_text(text),
    ".csv.bz2": lambda path, text: path.write_bytes(bz2.compress(text.encode())),
    ".csv.gz": lambda path, text: path.write_bytes(gzip.compress(text.encode())),
    ".csv.gzip": lambda path, text: path.write_bytes(gzip.compress(text.encode())),
    ".csv.xz": lambda path, text: path.write_bytes(lzma.compress(text.encode())),
    ".zip": lambda path, text: write_zip(path, text),
}


def write_zip(path, text):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", text)


def write_scenario(folder, tables, ending=".csv", start="2021-03-01 00:00", interval="00:15"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (names, values) in tables.items():
        WRITERS[ending](folder / f"{name}{ending}", csv(names, values))
    (folder / "start_datetime.info").write_text(start + "\n")
    (folder / "time_interval.info").write_text(interval + "\n")


def tables(seed=0, n_row=N_ROW):
    return {
        "load_p": (LOADS, numbers(3, seed, n_row)),
        "load_q": (LOADS, numbers(3, seed + 1, n_row)),
        "prod_p": (GENS, numbers(3, seed + 2, n_row)),
    }


def config_text(reader="GridStateFromFile", limits=None, names=None, more=""):
    return CONFIG.format(reader=reader, limits=limits, names=names, more=more)


def write_folder(root, n_scenario=1, config=None, ending=".csv"):
    root.mkdir(parents=True, exist_ok=True)
    (root / "grid.json").write_text(network())
    (root / "config.py").write_text(config if config is not None else config_text())
    (root / "prods_charac.csv").write_text(
        "name,type,Pmax,Pmin,max_ramp_up,max_ramp_down,min_up_time,min_down_time,marginal_cost,start_cost,shut_down_cost\n"
        "gen_y,wind,30,0,,,0,0,0,0,0\n"
        "gen_slack,thermal,80,5,4,3,12,8,60,20,10\n"
        "gen_x,hydro,40,1,9,9,0,0,5,1,2\n"
    )
    (root / "grid_layout.json").write_text(json.dumps({f"sub_{bus}": [bus, bus**2] for bus in range(5)}))
    for scenario in range(n_scenario):
        write_scenario(root / "chronics" / f"{scenario:03d}", tables(10 * scenario), ending)
    return root


def first(case, t=0, scenario=0):
    return case.series.at(np.array([scenario]), np.array([t], dtype=np.int32))


OPPONENT = """
    "opponent_class": RandomLineOpponent,
    "opponent_attack_cooldown": 12 * 24,
    "opponent_attack_duration": 4 * 12,
    "opponent_init_budget": 10.5,
    "opponent_budget_per_ts": 0.25,
    "kwargs_opponent": {"lines_attacked": [["l2"], ["l0", "l3"]]},
"""


def opponent_config(text=OPPONENT):
    return "from grid2op.Opponent import RandomLineOpponent\n" + config_text(more=text)
