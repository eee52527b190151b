"""How tests are spread over processes: a file goes to one of them, and of the suites of carriers, each carrier's part.

So what a file's tests share is made once, and a carrier's server that is killed is one for all tests that kill it.
"""

import re
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

_SUITES = "brokers/test_carriers.py"
_CARRIER = re.compile(r"\[(.+?)(-True|-False)?\]$")


class Spreading(LoadFileScheduling):  # type: ignore[misc]
    """By file, or by carrier."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        carrier = _CARRIER.search(nodeid) if file.endswith(_SUITES) else None
        return file if carrier is None else f"{file} {carrier[1]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading:
    return Spreading(config, log)
