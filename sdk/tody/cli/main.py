"""The program `tody`: a list of commands, and what is the same for all of them."""

# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

from ..errors import MemoryLimitError, TodyError, UsageError
from . import (
    agent,
    bench,
    broker,
    cameras,
    check,
    classify,
    completion,
    compress,
    convert,
    detect,
    devices,
    doctor,
    enroll,
    evaluate,
    firmware,
    flash,
    fleet,
    info,
    keeper,
    keys,
    logs,
    models,
    overview,
    profile,
    push,
    run,
    sensitivity,
    serve,
)
from .output import Output
from .parts import add_json


class Command(Protocol):
    """A module of this package."""

    NAME: str
    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace, out: Output) -> int: ...


COMMANDS: tuple[Command, ...] = (
    convert,
    compress,
    sensitivity,
    check,
    info,
    run,
    detect,
    classify,
    bench,
    profile,
    evaluate,
    models,
    cameras,
    flash,
    devices,
    logs,
    firmware,
    serve,
    keys,
    broker,
    enroll,
    push,
    fleet,
    keeper,
    agent,
    doctor,
    completion,
)
EPILOG = """exit codes: 0 good, 1 a fault of tody, 2 usage or model file, 3 accuracy, or a rollout that halted,
4 unsupported operator, 5 does not fit, 6 device, 7 signature or hash, 8 fallback refused, 9 camera, 130 interrupted.
TODY_DEBUG=1 shows where an error comes from."""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        words = [a.metavar or a.dest.upper() for a in self._actions if not a.option_strings]
        raise UsageError(message, " ".join(["usage:", self.prog, *map(str, words), "[OPTIONS]"]), f"{self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The whole tree of arguments; imports nothing heavy."""
    parser = Parser(
        prog="tody", allow_abbrev=False, description="Neural networks on small machines: convert, run, detect.", epilog=EPILOG
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    add_json(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", title="commands", parser_class=Parser)
    for command in COMMANDS:
        about = command.HELP[0].upper() + command.HELP[1:] + "."
        verb = verbs.add_parser(command.NAME, help=command.HELP, description=about, allow_abbrev=False)
        command.arguments(verb)
        add_json(verb)
        verb.set_defaults(run=command.run)
    return parser


def _dispatch(arguments: Sequence[str], out: Output) -> int:
    args, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        verb = f"tody {args.verb}" if args.verb else "tody"
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)}", f"{verb} does not take them", f"{verb} --help")
    if args.version:
        from .. import __version__

        out.line(f"tody {__version__}")
        out.data({"version": __version__})
        return 0
    command: Callable[[argparse.Namespace, Output], int] = getattr(args, "run", overview.run)
    return command(args, out)


def _as_tody_error(error: BaseException) -> TodyError:
    """Whatever went wrong, in three lines."""
    if isinstance(error, TodyError):
        return error
    if isinstance(error, MemoryError):
        return MemoryLimitError("there is not enough memory", str(error), "a smaller input (--shape), or a smaller model")
    if isinstance(error, OSError) and error.errno:
        what = f"{error.filename or 'a file'} cannot be used"
        return UsageError(what, error.strerror or str(error), "check the path, its permissions and the free space")
    return TodyError(
        "tody itself failed", f"{type(error).__name__}: {error}", "TODY_DEBUG=1 shows where; please report it with the command"
    )


def _end(number: int, frame: object) -> NoReturn:
    """Ended by a service manager: leave through every `with`, so that clips and cameras are closed."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; None: the process's own.

    Returns:
        the exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C, which `tody.__main__` makes an exit code of.
    """
    if arguments is None:
        arguments = sys.argv[1:]
        signal.signal(signal.SIGTERM, _end)
    out = Output("--json" in arguments)
    try:
        return _dispatch(arguments, out)
    except BrokenPipeError:
        # The reader went away (`tody … | head`): not an error. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as e:  # --help, or _end
        return int(e.code or 0)
    except Exception as e:
        if os.environ.get("TODY_DEBUG"):
            raise
        error = _as_tody_error(e)
        out.error(error)
        return error.exit_code
