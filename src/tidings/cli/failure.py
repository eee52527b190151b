"""What is said of a call that failed, and its exit code."""

import re
from typing import Any

from tidings.errors import TidingsError

FAILED, MISUSED, BROKEN, INTERRUPTED = 1, 2, 70, 130

EXIT_CODES = {
    0: "done, or the answer is yes",
    FAILED: "the answer is no, something is wrong, or it could not be done",
    MISUSED: "the call makes no sense",
    BROKEN: "an error in tidings or in the application; --debug shows where",
    INTERRUPTED: "interrupted by Ctrl-C",
}

_EXTRA = re.compile(r"unexpected extra argument.*\W([A-Za-z_][\w.]*:[A-Za-z_]\w*)\W*$")
_TWICE = re.compile(r"( Did you mean [^?]*\?)\1+")  # typer and the library below it may both have a guess


def code_of(error: Exception) -> int:
    """The exit code that a failure ends in."""
    if _is_interrupt(error):
        return INTERRUPTED
    if isinstance(error, TidingsError) or _is_refusal(error):
        return FAILED
    return MISUSED if _is_misuse(error) else BROKEN


def sentence(error: Exception) -> str:
    """The failure in a sentence; a page of help when a command was called with nothing; empty for Ctrl-C."""
    if _is_interrupt(error):
        return ""
    if isinstance(error, TidingsError):
        return f"tidings: {_one_line(str(error))}"
    if _is_refusal(error):
        return "tidings: stopped, and nothing was changed"
    if _is_misuse(error):
        return _misuse(error)
    return f"tidings: {_one_line(f'{type(error).__name__}: {error}')}; run again with --debug for the traceback"


def _misuse(error: Exception) -> str:
    message = str(error.format_message())  # type: ignore[attr-defined]  # see `_is_misuse`
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return message
    path = context.command_path if context is not None else "tidings"
    said = _TWICE.sub(r"\1", _one_line(message))
    said += _hint(said, context)
    return f"{path}: {said if said.endswith(('.', '?')) else f'{said}.'} See '{path} --help'."


def _hint(said: str, context: Any) -> str:
    """For who names the application as `run` and `--app` take it, where it has to be by `--app`."""
    extra = _EXTRA.search(said)
    takes_app = context is not None and any("--app" in each.opts for each in context.command.params)
    return f"; if that is the application, say --app {extra[1]}" if extra and takes_app else ""


def _is_misuse(error: Exception) -> bool:
    """Typer's own errors: some versions bring the library they derive from, others import it."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _is_refusal(error: Exception) -> bool:
    return type(error).__name__ == "Abort"  # a question answered with no, or by nobody


def _is_interrupt(error: Exception) -> bool:
    return _is_refusal(error) and isinstance(error.__cause__, KeyboardInterrupt)


def _one_line(text: str) -> str:
    return " ".join(text.split())
