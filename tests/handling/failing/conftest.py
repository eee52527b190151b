"""What the tests of failing handlers start from: each kind of function."""

import pytest


@pytest.fixture(params=[False, True], ids=["async", "sync"])
def sync(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
