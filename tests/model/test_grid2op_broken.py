"""Grid2Op folders with something missing or broken: one clear error each."""

from __future__ import annotations

import pandapower
import pandapower.networks
import pytest

from marlgrid.model.datasets.grid2op_folder import load_folder
from tests.model.grid2op_writing import OPPONENT, config_text, first, network, opponent_config, write_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "env")


# ---------------------------------------------------------------------- bad folders
def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no Grid2Op environment folder 'no_such_env'"):
        load_folder("no_such_env")
    with pytest.raises(FileNotFoundError, match=r"neither grid\.json"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.py", r"config\.py does not exist"),
        ("chronics", "chronics does not exist"),
        ("chronics/000", "chronics holds no scenario"),
        ("chronics/000/load_q.csv", r"chronics.000 has no table 'load_q'; give load_q with one of the endings \.csv"),
        ("storage_units_charac.csv", r"storage_units_charac\.csv does not exist, and the grid has storages"),
    ],
)
def test_missing_part(folder, missing, message):
    path = folder / missing
    if path.is_dir():
        path.rename(folder / "elsewhere")
    elif path.is_file():
        path.unlink()
    else:
        net = pandapower.from_json_string(network())
        pandapower.create_storage(net, 1, p_mw=0.0, max_e_mwh=8.0, name="battery")
        pandapower.to_json(net, str(folder / "grid.json"))
    with pytest.raises(FileNotFoundError, match=message):
        first(load_folder(folder))


BROKEN = {
    "grid.json": ("{ not json", "grid.json is not readable as a pandapower network"),
    "config.py": ("config = {", "config.py cannot be read as Python"),
    "prods_charac.csv": ("name,type\ngen_x,hydro\n", "prods_charac.csv lacks the column"),
    "grid_layout.json": ('{"sub_0": [0, 0]}', "grid_layout.json gives no place for"),
    "difficulty_levels.json": ("[1]", "difficulty_levels.json must hold a json object"),
    "parameters.json": ('{"MAX_SUB_CHANGD": 1}', "parameters.json: unknown parameter"),
    "chronics/000/load_p.csv": (
        "load_a;load_b\n1;2\n3;4\n",
        r"load_p.csv must have one column for each.*missing \['load_c'\]",
    ),
    "chronics/000/load_q.csv": ("load_a;load_b;load_d\n1;2;3\n", r"load_q.csv must have.*not in the grid \['load_d'\]"),
    "chronics/000/prod_p.csv": ("gen_x;gen_y;gen_slack\n1;2;3\n1;2;3\n", "prod_p.csv has 2 rows, load_p has 12"),
    "chronics/000/prod_v.csv": (
        "gen_x;gen_y;gen_slack\n1;2;3\n4;;6\n",
        "prod_v.csv has nan in row 1 of column 'gen_y'",
    ),
    "chronics/000/hazards.csv": ("l0;l1;l2;l3;l9\n0;0;0;0;0\n", r"hazards.csv must have.*not in the grid \['l9'\]"),
    "chronics/000/maintenance.csv": ("l0;l1;l2;l3;t4\n0;0;0;0;0\n", "maintenance.csv has 1 rows, load_p has 12"),
    "chronics/000/start_datetime.info": ("yesterday", "start_datetime.info says 'yesterday'"),
    "chronics/000/time_interval.info": ("often", "time_interval.info says 'often'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file(folder, name):
    text, message = BROKEN[name]
    (folder / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        first(load_folder(folder))


def test_broken_compression(folder):
    (folder / "chronics" / "000" / "load_p.csv").unlink()
    (folder / "chronics" / "000" / "load_p.csv.bz2").write_bytes(b"not bz2")
    with pytest.raises(ValueError, match=r"load_p\.csv\.bz2 cannot be read as a table"):
        first(load_folder(folder))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_text(limits=[1.0, 2.0]), "thermal_limits: 2 values for 5 lines"),
        (config_text(limits=[1.0, 2.0, 3.0, -4.0, 5.0]), r"thermal_limits: not positive for \['l3'\]"),
        (
            config_text(limits={"l0": 1.0, "nowhere": 2.0}),
            r"thermal_limits: missing .* not lines of the grid \['nowhere'\]",
        ),
        (config_text("ReadPypowNetData"), "old format of pypownet"),
        (config_text().replace("Multifolder", "ChangeNothing"), "no time series"),
        ("config = 3\n", "defines no dictionary named `config`"),
        (opponent_config(OPPONENT.replace("l3", "l7")), r"lines_attacked: \['l7'\] are no lines"),
    ],
)
def test_broken_config(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        load_folder(write_folder(tmp_path / "env", config=config))


def test_intervals_must_agree(tmp_path):
    root = write_folder(tmp_path / "env", n_scenario=2)
    (root / "chronics" / "001" / "time_interval.info").write_text("00:05")
    case = load_folder(root)
    with pytest.raises(ValueError, match=r"001 has steps of 5\.0 minutes"):
        first(case, 0, 1)
