"""What Pulsar's client says went wrong, in our words; nothing of the client passes beyond this folder."""

from typing import Any, Final

from tidings.errors import BrokerError, BrokerUnreachable

AWAY: Final = frozenset(
    """Timeout ConnectError NotConnected LookupError ServiceUnitNotReady ReadError AlreadyClosed Interrupted
    AuthenticationError ErrorGettingAuthenticationData TooManyLookupRequestException BrokerMetadataError
    BrokerPersistenceError ConsumerNotInitialized ProducerNotInitialized UnknownError""".split()
)


def unanswered(url: str, doing: str) -> BrokerUnreachable:
    """There was none in time. The client goes on asking a server that refuses it, and does not say why."""
    return BrokerUnreachable(url, f"no answer {doing}, which is also what a refused login looks like")


def failure(url: str, result: Any, doing: str) -> BrokerError:
    """A result of the client, or an exception it raised, as our error; `doing` is what was tried."""
    name = type(result).__name__ if isinstance(result, BaseException) else str(result.name)
    if name == "Timeout":
        return unanswered(url, doing)
    if name in AWAY:
        return BrokerUnreachable(url, f"{name} {doing}")
    advice = "; the account may not do this, ask its operator" if name == "AuthorizationError" else ""
    return BrokerError(f"{url} failed {doing}: {name}{advice}")
