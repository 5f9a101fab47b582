"""docs/actions.md against the code: its keys, sub-keys, reasons and examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from marlgrid.simulation.reason import Reason
from marlgrid.task.action_view import ActionView
from marlgrid.task.commands import make_action
from tests.simulation.small import small_grid
from tests.task.test_action_page import ROWS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "actions.md").read_text(encoding="utf-8")


def first_column(heading):
    """Names in the first column of the table under a heading of columns."""
    rows = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`(\w+)[`(]", row.split("|")[1])]


def choices(keys):
    """What the error about an unknown key says may be given."""
    with pytest.raises(ValueError, match="choose from") as caught:
        make_action(small_grid(), keys)
    return re.findall(r"'(\w+)'", str(caught.value).split("choose from")[1])


def test_every_key_and_sub_key_is_listed():
    assert sorted(first_column("| key | element |")) == sorted(choices({"unknown": 0}))
    for key in ("set_bus", "change_bus"):
        assert sorted(first_column("| sub-key of")) == sorted(choices({key: {"unknown": 0}}))


def test_the_table_of_impacts_has_the_rows_that_are_tested():
    page = [row.split("|")[1:4] for row in PAGE.splitlines() if row.startswith('| `{"') and "| o" in row]
    told = [(re.sub(r"`| ", "", action), before.strip(), after.strip()) for action, before, after in page]
    state = {0: "off", 1: "on"}
    tested = {
        (re.sub(r"\b3\b", "l", str(keys).replace("'", '"')).replace(" ", ""), state[before], state[after])
        for keys, before, after, *_ in ROWS
    }
    # where the page says busbar 2 the test starts from there and says 1
    assert {(row[0].replace("+", "").replace("(l,2)", "(l,1)"), *row[1:]) for row in told} == tested
    assert len(told) == 12


def test_every_attribute_of_a_view_is_listed():
    public = {name for name in vars(ActionView) if not name.startswith("_")} | {"commands"}
    assert set(first_column("| of the view |")) - {"str", "view"} == public


def test_every_reason_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| code | reason |") :].split("\n\n")[0]
    rows = re.findall(r"^\| (\d+) \| `(\w+)`", table, re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(reason.value, reason.name) for reason in Reason]


def test_examples_run(capsys):
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "actions.md", "exec"), names)
    told = capsys.readouterr().out.splitlines()
    assert told == ["disconnect line 0_1_0; redispatch gen_1_0 by +1.5 MW", "ACCEPTED"]
    env = names["env"]
    env.reset(seed=1)
    lines = [env.make_action({"set_line_status": [(line, -1)]}) for line in (0, 2)]
    agent = env.agents[env.task.system.zones.line_or[0]]
    rest = dict.fromkeys(env.agents, 0)
    *_, infos = env.step(rest | {agent: lines[0]})
    assert infos[agent]["reason"] == Reason.ACCEPTED
    for _ in range(env.task.system.parameters.nb_timestep_cooldown_line):
        env.step(rest)
    agent = env.agents[env.task.system.zones.line_or[2]]
    *_, infos = env.step(rest | {agent: lines[1]})
    assert infos[agent]["reason"] == Reason.OWN_RULE
