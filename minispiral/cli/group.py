"""The group of commands: finds them, loads the one that was asked for, reports its errors."""

import ast
import errno
from importlib import import_module
from importlib.resources import files
from typing import Any

import click

from minispiral.cli.job import Job
from minispiral.cli.printable import never_fail
from minispiral.cli.terminal import say
from minispiral.errors import UserError
from minispiral.memory import is_memory_error

COMMANDS = (  # in the order in which they are used; each is a function in a module of its name
    "demo",
    "synth",
    "labels",
    "check",
    "train",
    "evaluate",
    "detect",
    "report",
    "inspect",
    "export",
    "describe",
    "gradcheck",
    "exercise",
    "grade",
)


class Failure(Exception):
    """Ends a command with one line on standard error and an exit code."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Commands(click.Group):
    """A group that imports only the command that runs, and reports errors in one line."""

    def __init__(self, **attributes: Any) -> None:
        names_only = [click.Command(name) for name in COMMANDS]  # `get_command` loads the commands
        super().__init__(commands=names_only, **attributes)

    def main(self, *arguments: Any, **options: Any) -> Any:
        never_fail()
        self.job = Job()
        with self.job.together():
            return super().main(*arguments, **options)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        found = super().resolve_command(ctx, args)
        if not self.job.choose(found[1]):
            ctx.exit()
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return load_command(name) if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name)) for name in COMMANDS])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except BaseException as error:
            self.job.failed()
            failure = self.in_one_line(error, ctx)
            if failure is None:  # click's own; a bug; or nobody reads the output any more
                raise
        say(f"minispiral: {failure}", err=True)
        ctx.exit(failure.exit_code)

    def in_one_line(self, error: BaseException, ctx: click.Context) -> Failure | None:
        """What the user is told of ``error``, if it is no fault of the program."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        match error:
            case Failure():
                return error
            case UserError():
                return Failure(with_advice(error, command))
            case KeyboardInterrupt():
                return Failure("Stopped; run the command again to start over.", 130)
            case MemoryError() | OSError() | RuntimeError() | ImportError():
                if is_memory_error(error):
                    return Failure(f"The memory is full; {save_memory(command)}.")
                if isinstance(error, OSError) and error.errno != errno.EPIPE:
                    path = f"{error.filename}: " if error.filename else ""
                    return Failure(f"{path}{error.strerror or error}.")
        return None


def load_command(name: str) -> click.Command:
    """Import a command."""
    command: click.Command = getattr(import_module(f"{__package__}.{name}"), name)
    return command


def short_help(name: str) -> str:
    """The first line of a command's docstring, read from its source.

    Importing the module would import NumPy, which takes longer than all the rest of
    ``minispiral --help``.
    """
    source = (files(__package__) / f"{name}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    raise LookupError(f"{name}.py has no function {name}")


def with_advice(error: UserError, command: click.Command | None) -> str:
    """The message of ``error``, with the option or argument of ``command`` to change."""
    text = str(error)
    for param in [] if command is None else command.params:
        if param.name == error.parameter:
            return f"{text.rstrip('.')}{' or' if ';' in text else ';'} {advice(param)}."
    return text


def save_memory(command: click.Command | None) -> str:
    """What helps ``command`` when memory runs out: smaller values of the options it has."""
    params = [] if command is None else command.params
    names = [param.opts[0] for param in params if param.name in ("batch", "patch", "width", "size")]
    if names:
        return f"choose a smaller {' or '.join(names)}"
    return "close other programs or use a machine with more memory"


def advice(param: click.Parameter) -> str:
    """``change --lr``, ``add --resume`` or ``change DATA``."""
    if isinstance(param, click.Option):
        return f"{'add' if param.is_flag else 'change'} {param.opts[0]}"
    return f"change {param.human_readable_name}"
