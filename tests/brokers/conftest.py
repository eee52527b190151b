"""What fails in the conformance suite is explained like what fails in a test file."""

import pytest

pytest.register_assert_rewrite("tidings.testing.broker_conformance")
