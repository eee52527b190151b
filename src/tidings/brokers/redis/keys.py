"""How things are called in the server. Every name begins with the prefix of the URL, and no two things share one."""


class Keys:
    """The keys of one prefix.

    A channel's name and a group's stand at the end, or before a number, so that names with colons of their own are told
    apart: the stream of channel `order:1` is never that of channel `order`.
    """

    def __init__(self, prefix: str) -> None:
        self.channels = f"{prefix}channels"  # hash: channel -> its partitions
        self.groups = f"{prefix}groups"  # hash: group -> the channels it hears, as JSON; "*" for all
        self.seen = f"{prefix}seen"  # hash: group -> when a member of it was last alive, in milliseconds since 1970
        self.news = f"{prefix}news"  # stream: channels, as they are made
        self._prefix = prefix

    def stream(self, channel: str, partition: int) -> str:
        """The events of a channel whose keys fall into this partition."""
        return f"{self._prefix}stream:{channel}:{partition}"

    def again(self, group: str) -> str:
        """A stream: what one group is handed once more."""
        return f"{self._prefix}again:{group}"

    def later(self, group: str) -> str:
        """A sorted set: what goes there once it is due, by when that is."""
        return f"{self._prefix}later:{group}"

    def dead(self, group: str) -> str:
        """A stream: what the group gave up."""
        return f"{self._prefix}dead:{group}"

    def guard(self, member: str) -> str:
        """A stream that exists while this member is alive: its doorbell, and the fence around its reads."""
        return f"{self._prefix}guard:{member}"
