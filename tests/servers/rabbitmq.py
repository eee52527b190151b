"""RabbitMQ, with an Erlang port mapper of its own: it starts and ends with the node instead of staying behind."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.server import Server, found, talk

_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the path insists on root or rabbitmq
_EPMD_FIRST = """
epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" &
tries=0
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do
  tries=$((tries + 1)); [ "$tries" -lt 500 ] || exit 1; sleep 0.02
done
exec "$0"
"""


class RabbitmqServer(Server):
    """A private RabbitMQ."""

    name = "amqp"
    program = "rabbitmq-server"
    packages = ("rabbitmq-server",)
    brew = "rabbitmq"
    port_count = 3  # for clients, for the other nodes it does not have, for the port mapper
    starts_within = 100.0  # Erlang is slow to start where others compute

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def prepare(self) -> None:
        """No plugins, and nothing from the system's own configuration."""
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "env.conf").touch()

    def command(self) -> Sequence[str]:
        """The node takes the place of the shell that has started the port mapper."""
        chosen = {"listeners.tcp.1": f"127.0.0.1:{self.port}", "loopback_users": "none"} | self.settings
        (self.folder / "rabbit.conf").write_text("".join(f"{name} = {value}\n" for name, value in chosen.items()))
        program = str(_DEBIAN) if _DEBIAN.exists() else found(self.program) or self.program
        return ["sh", "-c", _EPMD_FIRST, program]

    def environment(self) -> Mapping[str, str]:
        """Everything in the server's folder, and one scheduler that does not spin while it waits."""
        node, nodes, epmd = self.ports[:3]
        ours = {
            "ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "CONF_ENV_FILE": self.folder / "env.conf",
            "CONFIG_FILE": self.folder / "rabbit.conf",
            "FEATURE_FLAGS_FILE": self.folder / "feature_flags",
            "PID_FILE": self.folder / "pid",
            "MNESIA_BASE": self.folder / "mnesia",
            "LOG_BASE": self.folder / "logs",
            "LOGS": "-",
            "NODENAME": f"test{node}@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": node,
            "DIST_PORT": nodes,
            "SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none +A 8",
        }
        erlang = {"HOME": str(self.folder), "ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        return os.environ | erlang | {f"RABBITMQ_{name}": str(value) for name, value in ours.items()}

    def answers(self) -> bool:
        """It offers a connection."""
        return talk(self.port, say=b"AMQP\x00\x00\x09\x01").startswith(b"\x01\x00\x00")
