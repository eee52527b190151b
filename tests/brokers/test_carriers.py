"""Every carrier keeps the promises of a broker, in peace and in trouble.

The suite of promises is public. Trouble needs servers that can be killed and frozen, which only these tests have.
"""

# ruff: noqa: F403  # the suites are this file's content

from tests.brokers.trouble import *
from tidings.testing.broker_conformance import *
