"""What Kafka's client says went wrong, in our words; nothing of the client passes beyond this folder."""

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from tidings.concurrency import ThreadEnded
from tidings.errors import BrokerError, BrokerUnreachable

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, KafkaException

AWAY: Final = frozenset(
    """_ALL_BROKERS_DOWN _TRANSPORT _RESOLVE _SSL _AUTHENTICATION _TIMED_OUT _MSG_TIMED_OUT _TIMED_OUT_QUEUE _WAIT_COORD
    _PURGE_QUEUE _PURGE_INFLIGHT _DESTROY REQUEST_TIMED_OUT NETWORK_EXCEPTION BROKER_NOT_AVAILABLE LEADER_NOT_AVAILABLE
    COORDINATOR_NOT_AVAILABLE SASL_AUTHENTICATION_FAILED""".split()
)
LOST: Final = frozenset({"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID", "_ASSIGNMENT_LOST"})
PASSING: Final = frozenset(
    {"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION"}
)  # told of commits, while a group is shared out
SHUT_OUT: Final = frozenset({"_ALL_BROKERS_DOWN", "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"})
TOO_LARGE: Final = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE"})
MOVED: Final = frozenset(
    """NOT_LEADER_FOR_PARTITION LEADER_NOT_AVAILABLE REPLICA_NOT_AVAILABLE UNKNOWN_TOPIC_OR_PART FENCED_LEADER_EPOCH
    UNKNOWN_LEADER_EPOCH KAFKA_STORAGE_ERROR OFFSET_NOT_AVAILABLE BROKER_NOT_AVAILABLE""".split()
)  # told of a fetch, while another server becomes the one to ask
UNSURE: Final = frozenset({"REQUEST_TIMED_OUT", "NETWORK_EXCEPTION", "UNKNOWN"})  # likewise, if it is over soon
UNKNOWN_TOPIC: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"})

_AROUND: Final = re.compile(r"^\S+/\w+: (?=\w)| \(after \d+ms in state \w+\)")  # whom it is about, and when


def error_in(raised: "KafkaException") -> "KafkaError":
    """What an exception of the client is about."""
    error: KafkaError = raised.args[0]
    return error


@contextlib.contextmanager
def closing_told(url: str) -> Iterator[None]:
    """What is under way while the connection is closed fails, as a connection does.

    Raises:
        BrokerUnreachable: it was closed.
    """
    try:
        yield
    except ThreadEnded:
        raise BrokerUnreachable(url, "the connection was closed here") from None


class Whispers:
    """What the client says of its connections, to who listens alone: its answers only say that there is none."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, error: "KafkaError") -> None:
        """Called by the client."""
        if error.name() != "_ALL_BROKERS_DOWN":
            self.last = _AROUND.sub("", error.str())


def failure(url: str, error: "KafkaError", doing: str, whispers: Whispers | None = None) -> BrokerError:
    """The client's error as ours; `doing` is what was tried."""
    said = error.str() or error.name()
    if error.name() in AWAY:
        if whispers is not None and whispers.last:
            return BrokerUnreachable(url, whispers.last)
        return BrokerUnreachable(url, f"{said} ({error.name().lstrip('_')}, {doing})")
    advice = "; the account may not do this, ask its operator" if "AUTHORIZATION" in error.name() else ""
    return BrokerError(f"{url} failed {doing}: {said} ({error.name().lstrip('_')}){advice}")
