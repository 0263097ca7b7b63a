"""Where options get their values from, and which of them count.

The first of RANKS that has a value for an option decides. Every value is kept with the place it came from, so that a
message about it can name that place, and --check-config can show it. Apart from `load`, which reads the files and
changes the directory, everything here is a function of its arguments.
"""

from __future__ import annotations

import dataclasses
import io
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from swhttp import activation, foreign, swoole
from swhttp.config import FILLED_IN, OPTIONS, WAYS_TO_LISTEN, Config
from swhttp.errors import BadValue, ExitCode, ServerError
from swhttp.options import PREFIX, Option, closest, described, from_object, from_text, meant

APP: Final = Option(("--app",), "Application", "")
"""The argument APP, which has a variable and a key as well."""
KINDS: Final[Mapping[str, str]] = {field.name: str(field.type) for field in dataclasses.fields(Config)}
KEYWORDS: Final[Mapping[str, str]] = {"app": "app", **{option.keyword: name for name, option in OPTIONS.items()}}
"""Key, with underscores, to the name of the field."""
PYPROJECT: Final = "pyproject.toml"
EVERY_IPV4: Final = "0.0.0.0"  # what PORT means without a host: a platform that sets it connects from outside


@dataclass(frozen=True)
class Given:
    """A value. `name`: how a message calls what it was given by; `source`: where that is, for people."""

    value: Any
    name: str
    source: str


RANKS: Final = (
    "the command line, or the arguments of `swhttp.run()`",
    "variables that begin with `SWHTTP_`; those of `--env-file` count as if they had been set before the start",
    "the file of `--config`",
    "`[tool.swhttp]` of `pyproject.toml` in the current directory, if that file is this user's or root's",
    "sockets that systemd has passed (`LISTEN_FDS`), then other variables that other servers read too",
    "the default",
)
"""The sources, the one that counts first."""

Layer = dict[str, Given]
"""What one source says, by the names of Config's fields."""


@dataclass(frozen=True)
class Loaded:
    """What is in force. `given`: where each value came from; `notes`: what should be logged as a warning."""

    config: Config
    given: Layer
    notes: tuple[str, ...]


def _option(name: str) -> Option:
    return APP if name == "app" else OPTIONS[name]


def command_line(values: Mapping[str, Any]) -> Layer:
    """What the command line says. `values`: texts, several for a repeatable option, and booleans of switches.

    Raises BadValue, like everything below that meets a value.
    """
    layer: Layer = {}
    for name, value in values.items():
        what = "APP" if name == "app" else _option(name).main
        if isinstance(value, str):
            value = _converted(what, from_text, name, value)
        layer[name] = Given(value, what, "command line")
    return layer


def keywords(arguments: Mapping[str, object]) -> Layer:
    """What a call of swhttp.run() says. Raises ServerError (ExitCode.USAGE) for a name that is none."""
    layer: Layer = {}
    for keyword, value in arguments.items():
        name = KEYWORDS.get(keyword)
        if name is None:
            advice = foreign.advice(keyword) or f"there is no such option{meant(keyword, KEYWORDS)}"
            raise ServerError(f"run({keyword}=): {advice}", ExitCode.USAGE)
        what = f"run({keyword}=)"
        if name != "app" or isinstance(value, str):
            value = _converted(what, from_object, name, value)
        layer[name] = Given(value, what, "run()")
    return layer


def environment(variables: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """What SWHTTP_ variables say, and notes on those that look like a mistake. An empty one says nothing."""
    layer: Layer = {}
    known = {_option(name).variable: name for name in KINDS}
    notes = []
    for variable, text in variables.items():
        if not text or not variable.startswith(PREFIX):
            continue
        name = known.get(variable)
        if name is None:
            if like := closest(variable.removeprefix(PREFIX), KEYWORDS, 0.8):  # else it is somebody else's
                notes.append(f"{variable} is no option; did you mean {PREFIX}{like.upper()}?")
        elif not text.startswith("tcp://"):  # Kubernetes sets SWHTTP_PORT so, for a Service that is called swhttp
            layer[name] = Given(_converted(variable, from_text, name, text), variable, f"variable {variable}")
    return layer, notes


def common_variables(variables: Mapping[str, str]) -> Layer:
    """What variables say that do not belong to us alone."""
    layer: Layer = {}
    for name, option in OPTIONS.items():
        variable = option.common_variable
        if variable and (text := variables.get(variable)):
            layer[name] = Given(_converted(variable, from_text, name, text), variable, f"variable {variable}")
            if name == "port":
                layer["host"] = Given(EVERY_IPV4, variable, f"variable {variable}")
    return layer


def table(source: str, values: Mapping[str, object]) -> Layer:
    """What a table of a TOML file says. `source`: how people call it. Raises ServerError (ExitCode.CONFIG) for a key
    that is none, or is there twice."""
    layer: Layer = {}
    for key, value in values.items():
        what = f"{source}: {key}"
        name = KEYWORDS.get(key.replace("-", "_"))
        setting = swoole.SETTINGS.get(key)
        if setting is not None and setting.values and isinstance(value, int) and not isinstance(value, bool):
            name = None  # a number of Swoole's, under a name that is an option of ours as well
        if name is None and setting is not None:
            name, value = setting.option, setting.ours(what, value)
        if name is None:
            advice = foreign.advice(key) or swoole.ADVICE.get(key) or f"unknown key{meant(key, _keys())}"
            raise ServerError(f"{what}: {advice}", ExitCode.CONFIG)
        if _option(name).not_in_file:
            raise ServerError(f"{what}: this cannot be said in a file", ExitCode.CONFIG)
        if name in layer:
            raise ServerError(f"{what}: the same as {layer[name].name.rpartition(': ')[2]}, which is there too",
                              ExitCode.CONFIG)
        layer[name] = Given(_converted(what, from_object, name, value), what, source)
    return layer


def document(source: str, data: Mapping[str, object]) -> Layer:
    """What the file of --config says: its [swhttp] if it has one, [tool.swhttp] of a pyproject.toml, else all of it."""
    if os.path.basename(source) == PYPROJECT:
        return project(source, data)
    own = data.get("swhttp")
    if not isinstance(own, dict):
        return table(source, data)
    for key, value in data.items():
        if not isinstance(value, dict):
            raise ServerError(f"{source}: {key}: options are either all in [swhttp] or all outside", ExitCode.CONFIG)
    return table(source, own)


def project(source: str, data: Mapping[str, object]) -> Layer:
    """What a pyproject.toml says."""
    tools = data.get("tool")
    own = tools.get("swhttp", {}) if isinstance(tools, dict) else {}
    if not isinstance(own, dict):
        raise ServerError(f"{source}: tool.swhttp: a table is needed, not {described(own)}", ExitCode.CONFIG)
    return table(source, own)


def resolve(layers: Iterable[Layer]) -> Layer:
    """What counts, of all that was said; `layers`: that of the highest rank first.

    Where to listen can be said in several ways, of which only one may count: that of the highest layer that has any.
    """
    result: Layer = {}
    way: tuple[str, ...] = ()
    for layer in layers:
        ways = [names for names in WAYS_TO_LISTEN if any(name in layer for name in names)]
        if not way and ways:
            way = ways[0]
            if len(ways) > 1:
                one, other = (next(layer[name] for name in names if name in layer) for names in ways[:2])
                raise BadValue(one.name, f"cannot be given together with {other.name}: each says where to listen")
        for name, given in layer.items():
            if name in result or (way != () and name not in way and any(name in names for names in WAYS_TO_LISTEN)):
                continue
            result[name] = given
    return result


def load(top: Layer, variables: MutableMapping[str, str] | None = None) -> Loaded:
    """Ask all sources, and make the configuration of what they say.

    `top`: the command line, or the arguments of a call; `variables`: the environment, this process's by default, to
    which --env-file adds, and from which what is for this process alone is taken. Changes the current directory for
    --chdir. Raises ServerError.
    """
    variables = os.environ if variables is None else variables
    passed = activation.take(variables, os.getpid())
    here, notes = environment(variables)
    if (given := top.get("env_file") or here.get("env_file")) and given.value:
        _add_env_file(given, variables)
        here, notes = environment(variables)
    layers = [top, here]
    if (given := top.get("config") or here.get("config")) and given.value:
        layers.append(document(given.value, _read_toml(given.value, given.name)))
    directory = next((layer["chdir"] for layer in layers if "chdir" in layer), None)
    if directory is not None and directory.value:
        try:
            os.chdir(directory.value)
        except OSError as error:
            raise BadValue(directory.name, f"{directory.value!r}: {error.strerror}") from None
    try:
        os.getcwd()
    except OSError as error:
        raise ServerError(f"the current directory is gone: {error.strerror}", ExitCode.VALUE) from None
    if os.path.isfile(PYPROJECT) and not trusted(_owners(PYPROJECT), os.geteuid()):
        notes.append(f"{PYPROJECT}: not read, for it is another user's; --config {PYPROJECT} reads it")
    elif os.path.isfile(PYPROJECT):
        layer = project(PYPROJECT, _read_toml(PYPROJECT, PYPROJECT))
        if "chdir" in layer:
            raise ServerError(f"{PYPROJECT}: chdir: this file is read in the directory that is gone to",
                              ExitCode.CONFIG)
        layers.append(layer)
    if passed:
        binds = tuple(one.bind for one in passed)
        layers.append({"bind": Given(binds, "LISTEN_FDS", "variable LISTEN_FDS")})
    layers.append(common_variables(variables))
    result = resolve(layers)
    config = _config(result)
    _refuse_idle(top, result)
    notes += activation.unused(passed, config.bind)
    return Loaded(config, result, tuple(notes))


def _config(given: Layer) -> Config:
    if "app" not in given:
        raise ServerError("no application: name it as in swhttp myapp:app, or as SWHTTP_APP, or as app in the "
                          "configuration file", ExitCode.USAGE)
    for name in FILLED_IN:
        if name in given and given[name].value == 0:
            raise BadValue(given[name].name, "a number of 1 or more is needed, not 0")
    try:
        return Config(**{name: one.value for name, one in given.items()})
    except BadValue as error:
        named = {"APP" if name == "app" else _option(name).main: one.name for name, one in given.items()}
        raise BadValue(named.get(error.what, error.what), error.why) from None


def _refuse_idle(top: Layer, given: Layer) -> None:
    """Whoever writes an option that does nothing without another one has forgotten that. In a variable or a file, which
    serve several starts, it may wait for it."""
    for name, one in top.items():
        needs = _option(name).needs
        if needs and not any(need in given for need in needs) and one.value != getattr(Config, name):
            raise BadValue(one.name, f"it does nothing without {' or '.join(_option(need).main for need in needs)}")


def _converted(what: str, convert: Any, name: str, value: object) -> Any:
    kind = "str" if name == "app" else KINDS[name]
    try:
        converted = convert(kind, _option(name), value)
    except ValueError as error:
        raise BadValue(what, str(error)) from None
    if any("\0" in text for text in (converted if isinstance(converted, tuple) else (converted,))
           if isinstance(text, str)):
        raise BadValue(what, "a text without NUL is needed")
    return converted


def _keys() -> list[str]:
    return ["app", *(option.key for option in OPTIONS.values()), *swoole.SETTINGS]


def trusted(owners: Collection[int], user: int) -> bool:
    """Whether a file that nobody has named counts. `owners`: the uids of those who have made it; `user`: our own.

    Who starts a server in /tmp must not run what others have put there: a logging configuration names code.
    """
    return all(owner in (user, 0) for owner in owners)


def _owners(path: str) -> list[int]:
    """Of the name as well, which may be a link: to a file of ours that belongs elsewhere."""
    return [os.stat(path, follow_symlinks=follow).st_uid for follow in (False, True)]


def _read_toml(path: str, named_by: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ServerError(f"{named_by}: cannot read {path!r}: {error.strerror}", ExitCode.CONFIG) from None
    except ValueError as error:  # of TOML, of UTF-8, of a number with thousands of digits, of NUL in `path`
        raise ServerError(f"{path}: not TOML: {error}", ExitCode.CONFIG) from None
    except RecursionError:
        raise ServerError(f"{path}: not TOML that can be read: tables or arrays within each other without end",
                          ExitCode.CONFIG) from None


def _add_env_file(given: Given, variables: MutableMapping[str, str]) -> None:
    """Set what is not set. Imported here: most servers have no such file."""
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    path = given.value
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise ServerError(f"{given.name}: cannot read {path!r}: {error.strerror}", ExitCode.CONFIG) from None
    except UnicodeDecodeError as error:
        raise ServerError(f"{path}: not UTF-8: {error}", ExitCode.CONFIG) from None
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise ServerError(f"{path}: line {binding.original.line} is not of the form NAME=value", ExitCode.CONFIG)
    for name, value in dotenv_values(stream=io.StringIO(text)).items():
        if value is not None and name not in variables:
            try:
                variables[name] = value
            except ValueError as error:
                raise ServerError(f"{path}: {name}: {error}", ExitCode.CONFIG) from None
