"""A URL that names no broker: what was probably meant is said."""

import pytest

from tidings.brokers import connect
from tidings.errors import ConfigurationError
from tidings.log import open_log


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("kafak://host", r"did you mean kafka://\?"),
        ("postgres://ann:secret@host/db", r"'postgres://ann:\*\*\*@host/db' is not .*: did you mean postgresql://\?"),
        ("rabbitmq://host", r"did you mean amqp://\?"),
        ("memroy:", r"did you mean memory:\?"),
        ("127.0.0.1:9092", r"use that of a log or server: memory:, sqlite:, postgresql:, redis://"),
        ("pigeon://loft", r"use that of a log or server"),
    ],
)
async def test_what_was_meant_is_asked(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await connect(url)


async def test_a_setting_of_postgres_that_nobody_reads_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"\*\*\*@host/db\?shema=x has no setting 'shema': it has schema, lock_"
    ):
        await open_log("postgresql://ann:secret@host/db?shema=x")
