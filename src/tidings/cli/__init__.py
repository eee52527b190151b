"""Floor 9. The command line: one command a file, a few lines each over what Python can do as well."""

import os
import sys
from collections.abc import Callable, Sequence

from tidings.errors import MissingExtra, TidingsError

INTERRUPTED = 130  # as a shell says it


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tidings`, and exit with 0, 1 for what failed, 2 for a call that makes no sense."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words  # wherever it stands: it is typed after something failed
    sys.exit(_run([word for word in words if word != "--debug"], debug=debug))


def _run(words: list[str], *, debug: bool) -> int:
    try:
        _cli()(words, prog_name="tidings")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, TidingsError)
        said = str(error) if known else f"{type(error).__name__}: {error}; --debug shows where"
        print(f"tidings: {' '.join(said.split())}", file=sys.stderr)
        return 1
    return 0


def _cli() -> Callable[..., object]:
    try:
        import typer  # noqa: F401
    except ImportError:
        raise MissingExtra("cli", "the command line") from None
    from tidings.cli.commands import cli

    return cli
