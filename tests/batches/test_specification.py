"""Specifications: shipped ones hold, and bad ones are refused with a near match before anything is judged."""

from __future__ import annotations

import pytest

from scdiff.batches.specification import (
    UNITS,
    list_specifications,
    load_specification,
    refuse_double,
)
from scdiff.errors import ConfigError, UnknownNameError
from scdiff.programs import load_program


@pytest.mark.parametrize("name", list_specifications())
def test_shipped_specifications_read_states_that_programmes_have(name: str) -> None:
    content = load_specification(name).content
    assert content.name == name
    for check in (*content.suitability, *content.criteria):
        assert check.source
        if not check.read_out.startswith("qc/"):
            program, state = check.read_out.split("/")[:2]
            found = load_program(program)
            assert state in {found.positive, *(rule.name for rule in found.states)}


def test_isct_says_what_stands_in_and_what_is_not_measured() -> None:
    content = load_specification("isct").content
    assert content.source == "10.1080/14653240600855905"
    limits = {check.id: (check.at_least, check.at_most) for check in content.criteria}
    assert {limits[name] for name in ("cd73", "cd90", "cd105")} == {(95.0, None)}
    assert {limit for name, limit in limits.items() if name not in ("cd73", "cd90", "cd105")} == {
        (None, 2.0)
    }
    assert any("replace the surface proteins" in note for note in content.notes)
    assert {"Adherence to plastic", "Surface proteins"} <= {
        entry.what for entry in content.not_measured
    }


def test_the_wj_msc_release_has_its_published_limits() -> None:
    limits = {
        check.id: (check.at_least, check.at_most)
        for check in load_specification("wj_msc").content.criteria
    }
    assert [limits[name] for name in ("cd73", "cd90", "cd105")] == [(80.0, None)] * 3
    assert {limits[name] for name in ("cd45", "cd34", "cd11b", "cd19", "hla_dr")} == {(None, 2.0)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit: "%"', 'unit: "percent"', "unknown unit 'percent'"),
        ("unit: cells", "unit: cels", "Did you mean 'cells'"),
        ("at_least: 2", "at_least: 200", "200 % is outside 0 to 100 % of the cells"),
        ("at_least: 2", "at_leest: 2", "Did you mean 'at_least'"),
        ("at_least: 2, ", "", "give at_least or at_most"),
        ("at_least: 2", "at_least: 3, at_most: 2", "is above at_most"),
        ("id: positive", "id: cells", "two lines have the id 'cells'"),
        ('version: "1"', "version: 1", 'version: "1"'),
        (
            "title: Positive cells",
            "title: Positive cells, kind: report",
            "yaml: no criterion has the kind release",
        ),
        ("at_least: 2", "at_least: .nan", "finite number"),
    ],
)
def test_bad_specifications_are_refused(spec_file, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_specification(spec_file(old, new))


def test_unknown_names_and_texts_are_refused(tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'isct'"):
        load_specification("isctt")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_specification(tmp_path / "none.yaml")
    path = tmp_path / "list.yaml"
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="must be a mapping"):
        load_specification(path)
    path.write_bytes(b"\xff\xfe\x00: [")
    with pytest.raises(ConfigError, match="not a YAML file"):
        load_specification(path)


def test_same_version_and_other_content_is_refused(spec_file, tmp_path) -> None:
    first, second = (
        load_specification(spec_file()),
        load_specification(spec_file("at_least: 2", "at_least: 1", name="b.yaml")),
    )
    refuse_double([first, first])
    with pytest.raises(ConfigError, match="same name and version"):
        refuse_double([first, second])
    with pytest.raises(ConfigError, match="the earlier decision in the folder"):
        refuse_double([first], {"yield 1": "0" * 64})
    copy = tmp_path / "isct.yaml"
    copy.write_bytes(load_specification("isct").data.replace(b"at_least: 95", b"at_least: 90"))
    with pytest.raises(ConfigError, match="differs from scdiff:isct"):
        refuse_double([load_specification(copy)])


def test_every_unit_names_a_kind() -> None:
    assert {kind for kind, _ in UNITS.values()} == {
        "fraction",
        "cells",
        "UMI",
        "genes",
        "text",
        "number",
    }
