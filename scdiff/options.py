"""Read options from the signatures of the steps, and check them by pydantic.

An option is declared only in the signature of its step. :func:`options_model` turns the signature
into a pydantic model. A notebook call and a YAML configuration file therefore pass the same checks,
and a mistyped key fails before any data are read, with the most similar name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import (
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from scdiff import keys
from scdiff.accessor import register
from scdiff.bounded import format_value, parse_yaml, read_text
from scdiff.errors import ConfigError, did_you_mean

__all__ = [
    "RunOptions",
    "SampleOptions",
    "options_model",
    "parse_document",
    "read_yaml",
    "run_model",
    "step",
    "validate_options",
]

P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)

MOST_FAULTS, MOST_NAMED = 20, 80
"""Faults that an error lists, and characters of a name in it. Chosen, not tuned."""

_STRICT = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class SampleOptions(BaseModel):
    """Source of the samples, if it is more than a sample sheet.

    Parameters
    ----------
    sheet
        Sample sheet.
    key
        Column with the sample of each cell, such as ``donor_id``.
    """

    model_config = _STRICT

    sheet: Path | None = None
    key: str | None = None


class RunOptions(BaseModel):
    """Options of a whole run that do not belong to a single step.

    Parameters
    ----------
    inputs
        Files or folders, each a sample unless it says otherwise; or use ``samples``.
    samples
        Sample sheet (csv or tsv): ``sample,path`` and any of ``raw,donor,condition,day,control``;
        or ``sheet`` and ``key``, the column with the sample of each cell.
    species
        ``auto`` infers it from the gene names.
    control
        Samples without positive cells (medium control, day 0): they give the limit of blank (LOB).
    programs
        Names of shipped programmes or paths of TOML files; the first is the main one.
    seed
        Start of every random generator, 0 or more.
    engine
        ``memory``, or ``dask``: the counts stay on disk, and workers read them block by block.
    scheduler
        Address of a running dask scheduler. If missing, the engine ``dask`` starts workers on this
        machine.
    """

    model_config = _STRICT

    inputs: list[Path] = Field(default_factory=list)
    samples: SampleOptions | Path | None = None
    species: Literal["auto", "human", "mouse", "rat"] = "auto"
    control: list[str] = Field(default_factory=list)
    programs: list[str] = Field(default_factory=list)
    seed: int = Field(default=0, ge=0)
    engine: Literal["memory", "dask"] = "memory"
    scheduler: str | None = None

    @field_validator("samples", mode="before")
    @classmethod
    def _check_fields(cls, samples: Any) -> Any:
        """Check a mapping separately, so that the error names the most similar field."""
        if isinstance(samples, Mapping):
            return validate_options(SampleOptions, samples, where="samples")
        return samples

    @property
    def sheet(self) -> Path | None:
        """Sample sheet; None if it is missing."""
        return self.samples.sheet if isinstance(self.samples, SampleOptions) else self.samples

    @property
    def samples_given(self) -> Any:
        """Option ``samples`` in plain values, as the steps accept it."""
        return (
            self.samples.model_dump() if isinstance(self.samples, SampleOptions) else self.samples
        )


def options_model(function: Callable[..., Any]) -> type[BaseModel]:
    """Build the pydantic model of the keyword-only options of ``function``.

    Ranges come from ``Annotated[float, Gt(0)]`` hints.
    """
    declared = inspect.signature(inspect.unwrap(function)).parameters
    keyword = {
        name: parameter
        for name, parameter in declared.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    hints = _resolve_hints(function, tuple(keyword))
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in keyword.items()
    }
    return create_model(f"{function.__name__}_options", __config__=_STRICT, **fields)


def _resolve_hints(function: Callable[..., Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Resolve the annotations of ``names``.

    The type of ``adata`` cannot be resolved: it is imported for type checking only.
    """
    body = inspect.unwrap(function)
    wanted = {name: body.__annotations__.get(name, Any) for name in names}
    holder = type("holder", (), {"__annotations__": wanted, "__module__": body.__module__})
    return get_type_hints(holder, globalns=getattr(body, "__globals__", None), include_extras=True)


def run_model(
    steps: Mapping[str, Callable[..., Any]],
    fixed: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> type[BaseModel]:
    """Build the model of a whole configuration: :class:`RunOptions` and one section per step.

    The sections do not repeat run-wide options (``seed``, ``species``, ``programs``, ...). They do
    not contain options that are ``fixed``.
    """
    sections: dict[str, Any] = {}
    for name, function in steps.items():
        fields = {
            key: (info.rebuild_annotation(), info)
            for key, info in options_model(function).model_fields.items()
            if key not in RunOptions.model_fields
            and key not in fixed.get(name, {})
            and not info.is_required()
        }
        section = create_model(name, __config__=_STRICT, **fields)  # type: ignore[call-overload]
        sections[name] = (section, Field(default_factory=section))
    return create_model("run", __base__=RunOptions, **sections)


def validate_options(model: type[M], options: Mapping[str, Any], *, where: str) -> M:
    """Check ``options`` against ``model``.

    Raises
    ------
    ConfigError
        If an option is unknown, missing or out of range: one line per fault, with the place, the
        option, the value and what is allowed.
    """
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        found = error.errors()
        faults = [_describe_fault(model, dict(fault), where) for fault in found[:MOST_FAULTS]]
        more = (
            [f"{where}: {len(found) - MOST_FAULTS:,} more faults."]
            if len(found) > MOST_FAULTS
            else []
        )
        raise ConfigError("\n".join([*faults, *more])) from None


def _describe_fault(model: type[BaseModel], fault: dict[str, Any], where: str) -> str:
    """Return one pydantic fault as a sentence."""
    path = [str(part)[:MOST_NAMED] for part in fault["loc"]]
    place = f"{where} [{'.'.join(path[:-1])}]" if path[:-1] else where
    if fault["type"] == "extra_forbidden":
        advice = did_you_mean(path[-1], _list_options(model, path[:-1]))
        return f"{place}: unknown option {format_value(path[-1])}. {advice}"
    if fault["type"] == "invalid_key":
        return f"{where}: {format_value(fault['input'])} is not an option name: use words."
    if fault["type"] == "missing":
        return f"{place}: option {path[-1]!r} is required."
    rule = fault["msg"].removeprefix("Value error, ")
    rule = f"{rule[0].lower()}{rule[1:]}"
    if not path:  # the options together, not one of them
        return f"{place}: {rule}."
    last = fault["loc"][-1]
    name = f"item {last + 1}" if isinstance(last, int) else f"option {last!r}"
    return f"{place}: {name} is {format_value(fault['input'])}, but {rule}."


def _list_options(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the option names at ``path`` inside ``model``."""
    for part in path:
        if part.isdigit():  # an index of a list: its model is known already
            continue
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        inner = next(iter(get_args(inner)), None) if get_origin(inner) is list else inner
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def parse_document(model: type[M], data: bytes, *, where: str, rule: str) -> M:
    """Parse the bytes of a YAML document, and check it against ``model``.

    Parameters
    ----------
    model
        Fields of the document.
    data
        The bytes.
    where
        Source of the bytes, for messages.
    rule
        Sentence for a document that is not a mapping.

    Raises
    ------
    ConfigError
        If the bytes are not YAML, or do not match the model.
    """
    try:
        found = parse_yaml(data.decode("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{where}: this is not a YAML file: {error}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: {rule}")
    return validate_options(model, {str(key): value for key, value in found.items()}, where=where)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration file as a mapping.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or does not hold a mapping.
    """
    try:
        content = parse_yaml(read_text(path))
    except OSError as error:
        raise ConfigError(
            f"{path}: the configuration file cannot be read ({error.strerror})."
        ) from None
    except ValueError as error:
        raise ConfigError(f"{path}: this is not a YAML text: {error}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: a configuration is a mapping of options, "
            f"but this file holds a {type(content).__name__}."
        )
    return content


def step(function: Callable[Concatenate[A, P], R]) -> Callable[Concatenate[A, P], R]:
    """Turn a function into a step, which checks its keys and options before it runs.

    Every step accepts ``copy=True``, as scanpy's functions do: it then does not change the object,
    but returns a changed copy.

    Raises
    ------
    MissingKeyError
        If a key that the step reads is missing, or the step would overwrite a key that scdiff did
        not write.
    ConfigError
        If an option is unknown or out of range.
    """

    @functools.wraps(function)
    def verb(adata: A, *args: P.args, **options: P.kwargs) -> R:
        register()
        if options.pop("copy", False):
            made = adata.copy()  # type: ignore[attr-defined]
            verb(made, *args, **options)
            return made
        if keys.is_prepared(adata) and keys.reads_cells(function.__name__):
            # imported here because only objects of notebooks need it
            run_prepared = import_module("scdiff.steps.load.prepare").run_prepared
            named = {name: options.get(name) for name in ("cluster_key", "use_rep")}
            return run_prepared(
                lambda work: verb(work, *args, **options), adata, step=function.__name__, **named
            )
        given = [name for name, value in options.items() if value is not None]
        keys.require(adata, function.__name__, given)
        keys.refuse_overwriting(adata, function.__name__)
        checked = validate_options(options_model(function), options, where=f"{function.__name__}()")
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        return function(adata, *args, **values)

    signature = inspect.signature(function)
    copy = inspect.Parameter(
        "copy", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool"
    )
    verb.__signature__ = signature.replace(parameters=[*signature.parameters.values(), copy])  # type: ignore[attr-defined]
    return verb
