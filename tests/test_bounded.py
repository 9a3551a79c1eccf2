"""Small texts are read with bounds: no device, no bomb, no endless nesting, and a short sentence for each."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scdiff.bounded import MOST_VALUES, find_special_kind, parse_yaml, read_bytes
from scdiff.cli import main
from scdiff.errors import ConfigError
from scdiff.programs import load_program
from scdiff.run.settings import join_options

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "has more than 20,000 values, counting aliases in full"),
        ("inputs: " + "[" * 10_000, "nested more than 40 levels deep"),
        ("inputs: " + "{a: " * 10_000, "nested more than 40 levels deep"),
        ("a: &a [*a]", "more than 20,000 values"),
        ("seed: " + "9" * 5_000, "."),
        ("seed: 2020-99-99", "."),
        ("seed: !!int ''", "."),
        ("seed: !!bool maybe", "."),
        ("? [a, b]\n: 1", "."),
        ("seed: " + "x" * 200_000, "option 'seed' is"),
        ("? " + "x" * 100_000 + "\n: 1", "unknown option"),
        ("inputs: [" + "{a: b}, " * 3_000 + "]", "more faults"),
        ("seed: &a {b: 1}\nsamples: *a", "unknown option 'b'"),
    ],
    ids=[
        "bomb",
        "list",
        "map",
        "circle",
        "digits",
        "date",
        "int",
        "bool",
        "key",
        "value",
        "name",
        "faults",
        "alias",
    ],
)
def test_a_hostile_configuration_ends_in_a_short_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    begun = time.monotonic()
    assert main(["check", "--config", str(tmp_path / "c.yaml")]) == 2
    error = capsys.readouterr().err
    assert time.monotonic() - begun < 20
    assert len(error) < 5_000
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("text", [BOMB, "[" * 10_000, "!!int ''", "{" + "x" * 100_000])
def test_a_hostile_setting_ends_in_a_short_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="the value is not a YAML text") as caught:
        join_options([], None, None, None, None, [f"load={text}"])
    assert len(str(caught.value)) < 1_000


def test_plain_values_and_anchors_are_read() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {d: null}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": None},
    }
    assert len(parse_yaml("[" + "1," * (MOST_VALUES - 1) + "]")) == MOST_VALUES - 1
    with pytest.raises(ValueError, match="more than 20,000 values"):
        parse_yaml("[" + "1," * MOST_VALUES + "]")


@pytest.mark.parametrize("what", ["--config", "--samples", "programme", "receivers"])
@pytest.mark.parametrize("kind", ["device", "fifo", "large"])
def test_a_device_or_fifo_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, kind: str
) -> None:
    suffix = {"--config": "yaml", "--samples": "csv", "programme": "toml", "receivers": "csv"}[what]
    path = tmp_path / f"x.{suffix}"
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"# " + b"x" * (70 << 20))
    option = {"programme": "programs", "receivers": "communicate.receivers"}.get(what, "")
    words = ["--set", f"{option}=[{path}]"] if option else [what, str(path)]
    begun = time.monotonic()
    assert main(["check", *words]) == 2
    assert time.monotonic() - begun < 10
    error = capsys.readouterr().err
    assert {
        "device": "device",
        "fifo": "FIFO",
        "large": "MB" if what == "--samples" else "more than",
    }[kind] in error


def test_a_programme_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("a = " + "[" * 20_000)
    with pytest.raises(Exception, match=r"deep|not a TOML text") as caught:
        load_program(str(tmp_path / "x.toml"))
    assert type(caught.value).__name__ == "ProgramError"
    assert len(str(caught.value)) < 600


def test_what_is_no_plain_file_is_named(tmp_path: Path) -> None:
    assert (
        find_special_kind(tmp_path),
        find_special_kind(tmp_path / "none"),
        find_special_kind(Path("/dev/zero")),
    ) == ("", "", "a device")
    (tmp_path / "x").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_bytes(tmp_path / "x", 10)
