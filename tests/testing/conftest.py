"""The logs that a test has its choice of; and what handling reports is shown with a failure here, too."""

from typing import Literal

import pytest

from tests.handling.conftest import reports

__all__ = ["reports"]


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest) -> Literal["memory", "sqlite"]:
    kind: Literal["memory", "sqlite"] = request.param
    return kind
