"""Parameters: Grid2Op's names in any case, its defaults, and one clear error for what cannot be."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from marlgrid.model.parameters import AttackRules, Parameters


def test_names_in_any_case():
    changed = Parameters().changed({"NB_TIMESTEP_COOLDOWN_LINE": 3, "max_sub_changed": 2})
    assert (changed.nb_timestep_cooldown_line, changed.max_sub_changed) == (3, 2)
    assert Parameters().nb_timestep_cooldown_line == 0


def test_texts_and_old_names_as_in_the_files_of_grid2op():
    given = {"ENV_DC": "T", "ALLOW_DISPATCH_GEN_SWITCH_OFF": "false", "NB_TIMESTEP_TOPOLOGY_REMODIF": 3.0}
    changed = Parameters().changed(given)
    assert (changed.env_dc, changed.allow_dispatch_gen_switch_off) == (True, False)
    assert changed.nb_timestep_cooldown_sub == 3
    both = {"NB_TIMESTEP_POWERFLOW_ALLOWED": 7, "NB_TIMESTEP_OVERFLOW_ALLOWED": 5}
    assert Parameters().changed(both).nb_timestep_overflow_allowed == 5


def test_a_deprecated_parameter_is_said_to_have_no_effect():
    with pytest.warns(DeprecationWarning, match="FORECAST_DC is deprecated and has no effect"):
        assert Parameters().changed({"FORECAST_DC": True}) == Parameters()
    assert Parameters().changed({"FORECAST_DC": False}) == Parameters()


def test_wrong_types_are_named_when_made_directly():
    with pytest.raises(ValueError, match="env_dc is 1, give True or False; max_sub_changed is '2', give a whole"):
        Parameters(env_dc=1, max_sub_changed="2")


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"unknown parameter\(s\) \['max_subs'\]; choose from .*max_sub_changed"):
        Parameters().changed({"MAX_SUBS": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_sub_changed": -1}, "max_sub_changed is -1, give a whole number of at least 0"),
        ({"nb_timestep_reconnection": 1.5}, "nb_timestep_reconnection is 1.5, give a whole number"),
        ({"hard_overflow_threshold": 0.9}, "hard_overflow_threshold is 0.9, give a ratio of at least 1"),
        ({"soft_overflow_threshold": 2.0}, "soft_overflow_threshold is 2.0, give a ratio above 0 and below"),
        ({"init_storage_capacity": 1.1}, "init_storage_capacity is 1.1, give a fraction"),
        ({"hard_overflow_threshold": "much"}, "hard_overflow_threshold is 'much', give a number"),
        ({"env_dc": "perhaps"}, "env_dc is 'perhaps', give True or False"),
        ({"max_simulate_per_step": -2}, "max_simulate_per_step is -2, give a whole number of at least -1"),
    ],
)
def test_what_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        Parameters().changed(changes)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"max_duration": 0}, "max_duration is 0 steps, give at least 1"),
        ({"cooldown": -1}, "must not be negative"),
        ({"budget_per_step": -0.5}, "must not be negative"),
    ],
)
def test_terms_of_attack(terms, message):
    with pytest.raises(ValueError, match=message):
        AttackRules(**terms)


def test_the_page_on_semantics_names_every_parameter_and_its_default():
    page = (Path(__file__).parents[2] / "docs" / "semantics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \| ([^|]+) \|", page, flags=re.MULTILINE)
    told = {
        name.strip("`").lower(): default
        for names, defaults in rows
        for name, default in zip(names.split(", "), defaults.split(", "), strict=True)
    }
    assert told.pop("forecast_dc") == "False"
    assert told == {field.name: str(field.default) for field in fields(Parameters)}
