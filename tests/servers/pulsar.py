"""Pulsar standalone: broker and bookie in one process, metadata in RocksDB."""

import sys
from collections.abc import Sequence

from tests.servers.maven import JavaServer
from tests.servers.server import talk

CURSORS_EVERY = 1  # seconds, in which the server writes down how far subscriptions are; 60 are usual
VERSION = "4.0.7"  # of 4.0, which lives long; not of every release did all parts reach Maven Central
_OPENED = (
    "java.base/sun.net",
    "java.base/java.nio",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.platform",
    "java.management/sun.management",
    "jdk.management/com.sun.management.internal",
)
_LOGGING = """
status = error
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %c{1}: %m%n%throwable
"""


class PulsarServer(JavaServer):
    """A private Pulsar without functions and without its table service."""

    name = "pulsar"
    artifacts = (f"org.apache.pulsar:pulsar-broker:{VERSION}",)
    without = ("org.apache.pulsar:jetcd-core-shaded",)  # for metadata in etcd
    port_count = 3  # for clients, for administration, for the bookie
    starts_within = 120.0

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"pulsar://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where topics and namespaces are administered, by HTTP."""
        return f"http://127.0.0.1:{self.ports[1]}"

    def prepare(self) -> None:
        """How much it says; what it is told otherwise waits for its ports."""
        (self.folder / "log4j2.properties").write_text(_LOGGING)

    def command(self) -> Sequence[str]:
        """One of everything, in the server's folder and on loopback."""
        configuration = self.folder / "standalone.conf"
        chosen = self._configuration() | self.settings
        configuration.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
        where = f"--metadata-dir {self.folder}/metadata --bookkeeper-dir {self.folder}/bookkeeper"
        return self.java(
            "-Xmx512m",
            "-XX:MaxDirectMemorySize=512m",
            *(word for package in _OPENED for word in ("--add-opens", f"{package}=ALL-UNNAMED")),
            f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties",
            "org.apache.pulsar.PulsarStandaloneStarter",
            *("--config", str(configuration), "--no-functions-worker", "--no-stream-storage"),
            *("-a", "127.0.0.1", "--bookkeeper-port", str(self.ports[2]), *where.split()),
        )

    def answers(self) -> bool:
        """Its own check of its health has written a message and read it, and a topic of its clients comes about.

        The first of these waits for what a namespace reads first of all, which now and then takes tens of seconds.
        """
        return self._asked("GET", "brokers/health?topicVersion=V2") == b"200" and self._makes_topics()

    def _makes_topics(self) -> bool:
        topic = "persistent/public/default/ready"
        made = self._asked("PUT", topic)
        self._asked("DELETE", f"{topic}?force=true")
        return made == b"204"

    def _asked(self, verb: str, path: str) -> bytes:
        head = f"{verb} /admin/v2/{path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
        return talk(self.ports[1], say=head.encode()).partition(b" ")[2][:3]

    def _configuration(self) -> dict[str, str]:
        clients, administration = self.ports[:2]
        return {
            "clusterName": "standalone",
            "bindAddress": "127.0.0.1",
            "advertisedAddress": "127.0.0.1",
            "brokerServicePort": str(clients),
            "webServicePort": str(administration),
            "loadBalancerEnabled": "false",
            "keepAliveIntervalSeconds": "3",  # a member that stands still is missed soon, where 30 are usual
            "managedLedgerCursorPositionFlushSeconds": str(CURSORS_EVERY),
            "managedLedgerDefaultEnsembleSize": "1",
            "managedLedgerDefaultWriteQuorum": "1",
            "managedLedgerDefaultAckQuorum": "1",
            "allowEphemeralPorts": "true",  # else the bookie takes no heed of the port it was given
            "allowLoopback": "true",
            "listeningInterface": "lo0" if sys.platform == "darwin" else "lo",
        }
