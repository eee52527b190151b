"""A question before something that cannot be taken back."""

import signal

import typer

from tidings.errors import ConfigurationError


def confirm(question: str) -> None:
    """Ask, and go on if the answer is yes. Ctrl-C ends it, inside an event loop too, which would wait for a second one.

    Raises:
        typer.Abort: the answer is no.
        ConfigurationError: nobody is there to answer.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        typer.confirm(question, abort=True)
    except typer.Abort as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        if isinstance(ended.__context__, EOFError):
            print()  # after the question
            raise ConfigurationError(
                "nobody is there to answer, and nothing was changed: --yes does it unasked"
            ) from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
