"""The command line: options made from `swhttp.config`, one readable message and an exit code for every failure.

It runs the master and knows nothing of how that works.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any, NoReturn

import click

from swhttp import __version__, logs
from swhttp.config import MAY_BE_ZERO, OPTIONS, Config, Option
from swhttp.errors import ExitCode, ServerError


class GroupedCommand(click.Command):
    """A command whose help shows the options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each group, in the order of Config's fields, then what is click's own."""
        groups: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record is not None:
                option = OPTIONS.get(parameter.name or "")
                (groups.setdefault(option.group, []) if option else others).append(record)
        for title, records in [*groups.items(), ("Other", others)]:
            with formatter.section(title):
                formatter.write_dl(records)


def _parameter(field: dataclasses.Field[Any], option: Option) -> click.Option:
    if field.type == "bool":
        return click.Option([*option.flags, field.name], is_flag=True, help=option.help)
    kinds: dict[object, Any] = {"int": click.IntRange(min=0 if field.name in MAY_BE_ZERO else 1), "float": float}
    # A default that depends on the machine is Config's to fill in: then None means "not given".
    default = None if option.default_text else field.default
    kind = click.Choice(option.choices) if option.choices else kinds.get(field.type, str)
    return click.Option(
        [*option.flags, field.name], type=kind,
        multiple=option.repeatable, default=default, help=option.help, metavar=option.metavar,
        show_default=option.default_text or True)


def _parameters() -> list[click.Parameter]:
    parameters: list[click.Parameter] = [click.Argument(["app"], metavar="APP")]
    for field in dataclasses.fields(Config):
        if field.name in OPTIONS:
            parameters.append(_parameter(field, OPTIONS[field.name]))
    return parameters


def _serve(**values: Any) -> NoReturn:
    """Serve the WSGI or ASGI application APP (module:attribute)."""
    try:
        config = Config(**{name: value for name, value in values.items() if value is not None})
    except ServerError as error:
        raise click.UsageError(str(error)) from None
    try:
        logs.configure(config.log_settings)
        # Imported here so that a bad option, --help and --version do not wait for the compiled modules.
        from swhttp.master import Master

        sys.exit(Master(config).run())
    except ServerError as error:
        logs.log.error("%s", error)
        sys.exit(error.exit_code)
    except Exception:
        logs.last_words("Internal error")
        os._exit(ExitCode.INTERNAL)  # threads may still run; the kernel ends them, and the manager with us


command = GroupedCommand(
    "swhttp", params=_parameters(), callback=_serve, help=_serve.__doc__,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
click.version_option(__version__, prog_name="swhttp", message="%(prog)s %(version)s")(command)


def main() -> NoReturn:
    """Entry point of the `swhttp` command and of `python -m swhttp`. Always ends the process."""
    if not sys.platform.startswith("linux"):
        print("swhttp runs on Linux only: it needs memfd, eventfd, epoll and pidfd.", file=sys.stderr)
        sys.exit(ExitCode.USAGE)
    command.main(prog_name="swhttp")
    sys.exit(ExitCode.OK)
