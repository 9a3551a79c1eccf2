"""Join the options of the command line and of the configuration file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from scdiff.bounded import format_value, parse_yaml
from scdiff.errors import ConfigError

__all__ = ["add_sample_key", "join_options", "parse_report_options"]


def join_options(
    inputs: list[Path] | None,
    config: Path | None,
    samples: Path | None,
    control: list[str] | None,
    species: str | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    """Join the configuration file and the command line; the command line takes priority.

    Raises
    ------
    ConfigError
        If the file or a setting is not valid.
    """
    from scdiff.options import read_yaml

    options = _resolve_paths(read_yaml(config), config.parent.resolve()) if config else {}
    given: dict[str, Any] = {
        "inputs": [Path(os.path.realpath(path)) for path in inputs or []],
        "samples": samples and Path(os.path.realpath(samples)),
        "control": control,
        "species": species,
    }
    if given["samples"] and isinstance(options.get("samples"), dict):
        given["samples"] = options["samples"] | {"sheet": given["samples"]}
    options |= {key: value for key, value in given.items() if value}
    changes: dict[str, Any] = {}
    for setting in settings or []:
        _set(changes, setting)
    return _merge(options, _resolve_paths(changes, Path.cwd()))


def _merge(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Replace options by those of the command line, section by section."""
    for name, value in changes.items():
        inside = options.get(name)
        if (
            name == "samples"
            and inside
            and isinstance(value, dict)
            and not isinstance(inside, dict)
        ):
            inside = {"sheet": inside}
        is_section = isinstance(inside, dict) and isinstance(value, dict)
        options[name] = inside | value if is_section else value
    return options


def add_sample_key(settings: list[str] | None, sample_key: str | None) -> list[str]:
    """Return the settings with the column that contains the samples.

    >>> add_sample_key(None, "donor_id")
    ['samples.key="donor_id"']
    """
    return [
        *(settings or []),
        *([] if sample_key is None else [f"samples.key={json.dumps(sample_key)}"]),
    ]


def _resolve_paths(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Resolve relative paths from a folder, in place.

    Those of a configuration file start from its folder, as those of a sample sheet do.
    """
    if isinstance(options.get("inputs"), list):
        options["inputs"] = [
            folder / path if isinstance(path, str) else path for path in options["inputs"]
        ]
    if isinstance(options.get("samples"), str):
        options["samples"] = folder / options["samples"]
    if isinstance(options.get("samples"), dict) and isinstance(
        options["samples"].get("sheet"), str
    ):
        options["samples"] = options["samples"] | {"sheet": folder / options["samples"]["sheet"]}
    if isinstance(options.get("programs"), list):
        options["programs"] = [
            str(folder / name) if str(name).endswith(".toml") else name
            for name in options["programs"]
        ]
    return options


def _set(options: dict[str, Any], setting: str) -> None:
    """Set one ``section.option=value`` in the options, in place.

    Raises
    ------
    ConfigError
        If the setting is not valid.
    """
    path, equals, text = setting.partition("=")
    *sections, name = path.split(".")
    if not equals or not all([*sections, name]):
        raise ConfigError(
            f"--set {format_value(setting)}: write it as option=value or section.option=value."
        )
    for section in sections:
        options[section] = options.get(section) or {}
        options = options[section]
        if not isinstance(options, dict):
            raise ConfigError(
                f"--set {format_value(setting)}: {section!r} is an option, "
                "not a section of options."
            )
    try:
        options[name] = parse_yaml(text)
    except ValueError as error:
        raise ConfigError(
            f"--set {format_value(setting)}: the value is not a YAML text: {error}."
        ) from None


def parse_report_options(settings: list[str] | None) -> dict[str, Any]:
    """Return the options of the report, the only ones that a finished run can still change.

    Raises
    ------
    ConfigError
        If another option is set, or an option that the report does not have.
    """
    options: dict[str, Any] = {"report": {}}
    for setting in settings or []:
        _set(options, setting)
    if others := sorted(set(options) - {"report"}):
        raise ConfigError(
            f"--set {others[0]}: only options of the report can change, such as "
            "--set report.weight_kg=70. Other options need `scdiff run`."
        )
    if "out" in options["report"]:
        raise ConfigError("--set report.out: give the folder with --out.")
    return dict(options["report"])
