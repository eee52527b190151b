"""`--watch`: the same look again every two seconds, on a screen of its own, until Ctrl-C."""

import time
from collections.abc import Callable
from typing import Any, NoReturn

from tidings.cli.output import is_terminal
from tidings.errors import ConfigurationError

_EVERY = 2.0  # seconds
_ENTER, _CLEAR, _LEAVE = "\x1b[?1049h", "\x1b[H\x1b[2J", "\x1b[?1049l"


def watched(look: Callable[[], Any], show: Callable[[Any], None], *, as_json: bool) -> NoReturn:
    """Look and show, for ever.

    Raises:
        ConfigurationError: nobody watches.
    """
    if as_json or not is_terminal():
        raise ConfigurationError("--watch is for a terminal: leave it out here, and ask as often as you like")
    print(_ENTER, end="")
    try:
        while True:
            found = look()  # before the screen is cleared, so that it does not flicker
            print(f"{_CLEAR}{time.strftime('%H:%M:%S')}, every {_EVERY:g} s; Ctrl-C ends it\n")
            show(found)
            time.sleep(_EVERY)
    finally:
        print(_LEAVE, end="", flush=True)
