"""The command line: flags made from `swhttp.config`, and one readable message for what it does not understand.

It converts nothing and checks no values: a text means the same here as in a variable (`swhttp.sources`). A first
argument that is a verb is not an app, but something to ask of a server that runs (`swhttp.verbs`).
"""

from __future__ import annotations

import functools
import os
import sys
from typing import Any, Final, NoReturn

import click

from swhttp import __version__, foreign, launch, verbs
from swhttp.config import OPTIONS, Config
from swhttp.errors import ExitCode, ServerError
from swhttp.options import PREFIX, Option, closest
from swhttp.sources import KINDS, command_line
from swhttp.startedby import StartedBy


def off_flag(option: Option) -> str:
    """The flag that turns a switch off."""
    return f"--no-{option.key}"


def all_flags(name: str, option: Option) -> list[str]:
    """Every flag that is understood."""
    return [*option.flags, *option.aliases, *([off_flag(option)] if KINDS[name] == "bool" else [])]


def default_text(name: str) -> str:
    """What people are told of a default."""
    field = Config.__dataclass_fields__[name]
    return OPTIONS[name].default_text or launch.shown(field.default)


TAKEOVER: Final = "takeover"
VERBS_TITLE: Final = "Verbs, for a server that runs (swhttp VERB --help)"


class Command(click.Command):
    """A command whose help shows the options under headings, and not their aliases."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both ways to call it."""
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)))
        formatter.write_usage(ctx.command_path, f"VERB --control {OPTIONS['control'].metavar} [OPTIONS]", "       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs, one section for each group, in the order of Config's fields, then what is click's own."""
        groups: dict[str, list[tuple[str, str]]] = {
            VERBS_TITLE: [
                *((name, verb.help) for name, verb in verbs.VERBS.items()),
                (TAKEOVER, "Serve in the place of the server at --control, with its command line, or with the APP and "
                           "OPTIONS that follow.")]}
        for name, option in OPTIONS.items():
            groups.setdefault(option.group, []).append((_usage(name, option), _help(name, option)))
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and parameter.name not in OPTIONS:
                record = parameter.get_help_record(ctx) or ("", "")
                groups.setdefault("Other", []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _usage(name: str, option: Option) -> str:
    flags = ", ".join(sorted(option.flags, key=len))
    if KINDS[name] == "bool":
        return f"{flags} / {off_flag(option)}"
    return f"{flags} {option.metavar or '[' + '|'.join(option.choices) + ']'}"


def _help(name: str, option: Option) -> str:
    return f"{option.help}  [default: {default_text(name)}]"


def _parameter(name: str, option: Option) -> click.Option:
    flags = [*option.flags, *option.aliases]
    if KINDS[name] == "bool":
        # None, so that a switch that was not given is told from one that was turned off.
        return click.Option([f"{flag}/{off_flag(option)}" for flag in flags] + [name], default=None)
    return click.Option([*flags, name], type=str, multiple=option.repeatable, default=None)


def _serve(**values: Any) -> NoReturn:
    """Serve the WSGI or ASGI application APP.

    APP is module:attribute; of a module alone its attribute application or app. Each option is also a variable
    (SWHTTP_KEEP_ALIVE) and a key of the configuration file (keep-alive).
    """
    launch.serve(functools.partial(command_line, _given(values)), StartedBy(sys.argv[1:]))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _take_over(arguments: list[str]) -> NoReturn:
    """Serve in the place of the server whose control socket --control names, with its command line or another."""
    from swhttp import takeover  # which another system may not even be able to import

    given = _given(command().make_context(f"swhttp {TAKEOVER}", list(arguments)).params)
    path = given.get("control") or os.environ.get(OPTIONS["control"].variable, "")
    predecessor = takeover.find(os.path.abspath(verbs.needed(path)))
    if set(given) - {"control"} and not {"app", "config"} & set(given) and PREFIX + "APP" not in os.environ:
        raise ServerError("With options of its own a takeover needs APP too, and all options", ExitCode.USAGE)
    if not set(given) - {"control"}:
        if predecessor.command is None:
            raise ServerError("The server was started by a program: say APP, and the options", ExitCode.USAGE)
        arguments, predecessor.repeats = predecessor.command, True
        try:
            os.chdir(predecessor.directory)
        except (OSError, UnicodeError) as error:
            raise ServerError(f"Cannot go to {predecessor.directory!r}, where the server was started: "
                              f"{getattr(error, 'strerror', error)}", ExitCode.VALUE) from None
        given = _given(command().make_context("swhttp", list(arguments)).params)
    launch.serve(functools.partial(command_line, given), StartedBy(arguments), predecessor)


@functools.cache
def command() -> click.Command:
    """The `swhttp` command."""
    parameters: list[click.Parameter] = [click.Argument(["app"], metavar="APP", required=False)]
    parameters += [_parameter(name, option) for name, option in OPTIONS.items()]
    made = Command(
        "swhttp", params=parameters, callback=_serve, help=_serve.__doc__,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
    click.version_option(__version__, prog_name="swhttp", message="%(prog)s %(version)s")(made)
    return made


def _unknown(flag: str, verb: click.Command | None) -> str:
    """What to say about a flag that is none of ours, or none of the verb's."""
    if verb is not None:
        known = [one for parameter in verb.params for one in parameter.opts if one.startswith("-")]
    elif (advice := foreign.advice(flag)) is not None:
        return f"{flag}: {advice}"
    else:
        known = [one for name, option in OPTIONS.items() for one in all_flags(name, option)]
    like = closest(flag.replace("_", "-"), known)
    if like is None:
        return f"{flag}: there is no such option; --help shows all"
    return f"{flag}: there is no such option; did you mean {like}?"


def main() -> NoReturn:
    """Entry point of the `swhttp` command and of `python -m swhttp`. Always ends the process."""
    launch.prepare()
    if len(sys.argv) > 3 and sys.argv[1] == OPTIONS["control"].main and sys.argv[3] in (*verbs.VERBS, TAKEOVER):
        sys.argv[1:4] = [sys.argv[3], *sys.argv[1:3]]  # as other tools take it
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    verb = verbs.command(first) if first in verbs.VERBS else None
    try:
        if first == TAKEOVER and "--help" not in sys.argv and "-h" not in sys.argv:
            _take_over(sys.argv[2:])
        if verb is not None:
            sys.exit(verb.main(sys.argv[2:], prog_name=f"swhttp {first}", standalone_mode=False))
        sys.exit(command().main(prog_name="swhttp", standalone_mode=False))
    except ServerError as error:  # of a verb
        launch.fail(str(error), error.exit_code)
    except click.exceptions.NoSuchOption as error:
        launch.fail(_unknown(error.option_name, verb), ExitCode.USAGE)
    except click.ClickException as error:
        launch.fail(error.format_message().rstrip("."), ExitCode.USAGE)
    except OSError as error:  # of --help and --version: all else is the server's, which has handled it
        launch.fail(f"stdout takes nothing: {error.strerror}", ExitCode.FILE)
    except click.Abort:  # Ctrl-C, as in launch.serve
        sys.exit(ExitCode.OK)
