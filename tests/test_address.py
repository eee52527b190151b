"""The URL of a server: its parts, and never its password."""

import pytest

from tidings.address import address_of, redacted
from tidings.errors import ConfigurationError


def test_the_parts_of_a_url() -> None:
    address = address_of("rediss://ann:p%40ss@host:7000/3?timeout=0.5&tls=yes&n=4", port=6379)

    assert (address.scheme, address.host, address.port, address.path) == ("rediss", "host", 7000, "3")
    assert (address.user, address.password) == ("ann", "p@ss")
    assert address.setting("timeout", 5.0) == 0.5
    assert address.setting("tls", False) is True
    assert address.setting("n", 1) == 4
    assert address.setting("absent", "x") == "x"
    assert address_of("nats://host", port=4222).port == 4222


@pytest.mark.parametrize(
    "url",
    [
        "amqp://ann:secret@host/",
        "kafka://host?sasl_password=secret&x=1",
        "a://u:secret@[::1]",
        "amqp://user:p@secret@host",
        "nats://secret@host",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    address = address_of(url, port=1)

    for shown in (repr(address), str(address), address.shown, redacted(f"tried {url} and failed")):
        assert "secret" not in shown
    assert "***" in address.shown


def read(url: str) -> None:
    address = address_of(url, port=1)
    address.setting("n", 1)
    address.check_settings("n")


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:secret@host:port",
        "redis://:a/secret+c@host",
        "redis:host",
        "redis://ann:secret@host?n=x",
        "redis://ann:secret@host?odd=1",
    ],
)
def test_what_is_wrong_is_told_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(url)

    assert "secret" not in str(raised.value)
