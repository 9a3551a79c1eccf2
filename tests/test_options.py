"""Options: declared in signatures, checked once, with sentences that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from annotated_types import Ge, Gt, Le
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from scdiff.errors import ConfigError, MissingKeyError
from scdiff.options import RunOptions, options_model, read_yaml, run_model, step, validate_options
from scdiff.run.pipeline import step_functions


def toy(
    adata: dict,
    *,
    rate: Annotated[float, Gt(0), Le(1)] = 0.5,
    kind: Literal["a", "b"] = "a",
    least: Annotated[int, Ge(0)] | None = None,
    names: Sequence[str] = (),
    seed: Annotated[int, Ge(0)] = 0,
) -> None:
    """Record what it was given."""
    adata.update(rate=rate, kind=kind, least=least, names=list(names), seed=seed)


def demand(adata: dict, *, out: Path) -> None:
    """Need an option."""
    adata["out"] = out


RUN = run_model({"toy": toy, "demand": demand})


def test_a_signature_becomes_a_model() -> None:
    model = options_model(toy)
    assert set(model.model_fields) == {"rate", "kind", "least", "names", "seed"}
    assert model().model_dump() == {"rate": 0.5, "kind": "a", "least": None, "names": (), "seed": 0}
    assert options_model(demand).model_fields["out"].is_required()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"rat": 1},
            "toy(): unknown option 'rat'. Did you mean 'rate'? Known: rate, kind, least, names, seed.",
        ),
        ({"rate": 0}, "toy(): option 'rate' is 0, but input should be greater than 0."),
        (
            {"rate": 1.5},
            "toy(): option 'rate' is 1.5, but input should be less than or equal to 1.",
        ),
        ({"kind": "c"}, "toy(): option 'kind' is 'c', but input should be 'a' or 'b'."),
        (
            {"least": -1},
            "toy(): option 'least' is -1, but input should be greater than or equal to 0.",
        ),
        (
            {"least": "many"},
            "toy(): option 'least' is 'many', but input should be a valid integer, unable to parse string as an integer.",
        ),
        ({"names": [1]}, "toy() [names]: item 1 is 1, but input should be a valid string."),
        ({"seed": None}, "toy(): option 'seed' is None, but input should be a valid integer."),
    ],
)
def test_each_fault_is_one_sentence(options: dict, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_options(options_model(toy), options, where="toy()")
    assert str(caught.value) == said


def test_a_required_option() -> None:
    with pytest.raises(ConfigError, match=r"^demand\(\): option 'out' is required\.$"):
        validate_options(options_model(demand), {}, where="demand()")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_options(RUN, {"sed": 1, "toy": {"rate": 2, "kid": "a"}}, where="run.yaml")
    assert str(caught.value).splitlines() == [
        "run.yaml [toy]: option 'rate' is 2, but input should be less than or equal to 1.",
        "run.yaml [toy]: unknown option 'kid'. Did you mean 'kind'? Known: rate, kind, least, names.",
        (
            "run.yaml: unknown option 'sed'. Did you mean 'seed'? "
            "Known: inputs, samples, species, control, programs, seed, engine, scheduler, toy, demand."
        ),
    ]


def test_run_wide_options_are_not_repeated_in_sections() -> None:
    sections = {
        name: info.annotation
        for name, info in RUN.model_fields.items()
        if name not in RunOptions.model_fields
    }
    assert {name: set(model.model_fields) for name, model in sections.items()} == {
        "toy": {"rate", "kind", "least", "names"},
        "demand": set(),
    }


def test_a_section_must_hold_options() -> None:
    with pytest.raises(
        ConfigError, match=r"^run.yaml: option 'toy' is 3, but input should be a valid dictionary"
    ):
        validate_options(RUN, {"toy": 3}, where="run.yaml")


def test_keys_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^run.yaml: 1 is not an option name: use words\.$"):
        validate_options(RUN, {1: 2}, where="run.yaml")


@given(
    st.floats(min_value=0, max_value=1, exclude_min=True), st.integers(min_value=0, max_value=10**6)
)
def test_what_is_in_range_passes_unchanged(rate: float, least: int) -> None:
    checked = validate_options(options_model(toy), {"rate": rate, "least": least}, where="toy()")
    assert (checked.rate, checked.least) == (rate, least)


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.none() | st.integers() | st.text() | st.lists(st.integers()),
        min_size=1,
    )
)
def test_any_other_mapping_is_a_config_error(options: dict) -> None:
    known = {"inputs", "samples", "species", "control", "programs", "seed", "toy", "demand"}
    if known & set(options):
        return
    with pytest.raises(ConfigError, match="unknown option"):
        validate_options(RUN, options, where="run.yaml")


# --- the decorator --------------------------------------------------------------------------------------------------


def test_a_step_checks_and_coerces_its_options() -> None:
    seen: dict = {}
    step(toy)(seen, rate=1, names=("x", "y"))
    assert seen == {"rate": 1.0, "kind": "a", "least": None, "names": ["x", "y"], "seed": 0}


def test_a_step_does_nothing_where_an_option_is_wrong() -> None:
    seen: dict = {}
    with pytest.raises(ConfigError, match=r"toy\(\): option 'rate' is 7"):
        step(toy)(seen, rate=7)
    with pytest.raises(
        ConfigError, match=r"toy\(\): unknown option 'speed'. Did you mean 'seed'\?"
    ):
        step(toy)(seen, speed=7)
    assert seen == {}


def test_a_step_keeps_name_docstring_and_signature() -> None:
    wrapped = step(toy)
    assert (wrapped.__name__, wrapped.__doc__) == ("toy", "Record what it was given.")
    assert set(options_model(wrapped).model_fields) == set(options_model(toy).model_fields)


def test_a_step_says_which_step_must_run_first(small_batch) -> None:
    from scdiff.pp import qc

    with pytest.raises(
        MissingKeyError,
        match=r'qc reads layers\["counts"\] \(.*\), which is not in the object: run scdiff\.pp\.prepare\(adata\) first',
    ):
        qc(small_batch.copy())


# --- the real steps -------------------------------------------------------------------------------------------------


def test_the_whole_configuration_has_a_default_for_everything() -> None:
    model = run_model(step_functions())
    checked = model()
    stored = yaml.safe_dump(checked.model_dump(mode="json"))
    assert (
        yaml.safe_dump(model.model_validate(yaml.safe_load(stored)).model_dump(mode="json"))
        == stored
    )


@pytest.mark.parametrize("name", step_functions())
def test_every_option_of_every_step_is_in_its_docstring(name: str) -> None:
    function = step_functions()[name]
    for option in options_model(function).model_fields:
        assert any(
            option in line.split(", ")
            for line in (function.__doc__ or "").replace("    ", "").splitlines()
        ), f"{name}: {option}"


@pytest.mark.parametrize("name", step_functions())
def test_every_default_is_in_its_own_range(name: str) -> None:
    model: type[BaseModel] = options_model(step_functions()[name])
    defaults = {
        key: info.default for key, info in model.model_fields.items() if not info.is_required()
    }
    given_back = model.model_validate(
        defaults | ({"out": "x"} if name == "report" else {})
    ).model_dump()
    assert {key: given_back[key] for key in defaults} == defaults


# --- YAML -----------------------------------------------------------------------------------------------------------


def test_a_configuration_file_is_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("seed: 3\ntoy:\n  rate: 0.1\n")
    assert read_yaml(tmp_path / "run.yaml") == {"seed": 3, "toy": {"rate": 0.1}}
    (tmp_path / "run.yaml").write_text("# nothing yet\n")
    assert read_yaml(tmp_path / "run.yaml") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "this is not a YAML text: while parsing a flow sequence"),
        (b"a: b: c", "this is not a YAML text: mapping values are not allowed here"),
        (b"\xff\xfe\x00", "this is not a YAML text"),
        (b"- a\n- b\n", "a configuration is a mapping of options, but this file holds a list"),
        (b"just words", "a configuration is a mapping of options, but this file holds a str"),
        (
            b"!!python/object/apply:os.system ['true']",
            "this is not a YAML text: could not determine a constructor",
        ),
    ],
)
def test_a_malformed_configuration_file(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"run\.yaml: {said}") as caught:
        read_yaml(tmp_path / "run.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"none\.yaml: the configuration file cannot be read \(No such file or directory\)",
    ):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(
        ConfigError, match=r"the configuration file cannot be read \(Is a directory\)"
    ):
        read_yaml(tmp_path)
