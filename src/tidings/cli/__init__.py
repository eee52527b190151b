"""Floor 9. The command line: one command a file, a few lines each over what Python can do as well."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from tidings.cli.failure import INTERRUPTED, code_of, sentence
from tidings.errors import MissingExtra


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tidings`, and exit with one of the codes that `tidings --help` lists."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words  # wherever it stands: it is typed after something failed
    sys.exit(_run([word for word in words if word != "--debug"], debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    try:
        code = _call(words)
        sys.stdout.flush()  # a pipe that is closed is noticed here, and not when Python ends
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # as typer reports it
            return _leave_quietly()
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        return _leave_quietly()
    except Exception as error:
        code = _tell(error, debug=debug)
    if code == INTERRUPTED and sys.stderr.isatty():
        print(file=sys.stderr)  # the terminal has shown ^C, and the shell would go on in the same line
    return code


def _leave_quietly() -> int:
    """`| head` has seen enough: what is still to be written goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _call(words: list[str]) -> int:
    if words == ["--version"]:
        from tidings import __version__

        print(f"tidings {__version__}")
        return 0
    if words and words[0] in ("--show-completion", "--install-completion"):
        from tidings.cli.shells import arrange

        return arrange(*words)
    ended = _cli().main(words, prog_name="tidings", standalone_mode=False)
    return ended if isinstance(ended, int) else 0


def _cli() -> Any:  # the command of typer, which has no public name for its type
    try:
        import typer  # noqa: F401
    except ImportError:
        raise MissingExtra("cli", "the command line") from None
    from tidings.cli.commands import cli
    from tidings.cli.frame import framed

    return framed(cli)


def _tell(error: Exception, *, debug: bool) -> int:
    """Say in one sentence what failed; the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    elif said := sentence(error):
        print(said, file=sys.stderr)
    return code_of(error)
