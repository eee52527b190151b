"""What the services of the crash tests speak of: coins paid into accounts, each account's coins counted from 1."""

from tidings import Event, event


@event("coin:paid", key="account")
class CoinPaid:
    account: str
    number: int


@event("coin:booked", key="account")
class CoinBooked:
    account: str
    number: int


def name_of(account: str, number: int) -> str:
    """The id of a coin's event."""
    return f"{account}:{number}"


def paid(coin: CoinPaid) -> Event:
    """A coin's event, with the id that belongs to it."""
    name = name_of(coin.account, coin.number)
    data = {"account": coin.account, "number": coin.number}
    return Event(id=name, source="till", type="coin:paid", data=data, key=coin.account)
