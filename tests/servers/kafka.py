"""Kafka without ZooKeeper: one node that is broker and controller."""

import struct
import subprocess
from collections.abc import Sequence

from tests.servers.maven import JavaServer
from tests.servers.server import talk

VERSION = "4.1.1"
_CLUSTER = "dGlkaW5ncy10ZXN0cy0wMQ"  # an id in Kafka's form, 16 bytes in base64
_METADATA = struct.pack("!hhih", 3, 4, 1, -1) + struct.pack("!i?", 0, False)  # of no topics: the brokers only
_LOGGING = """
status = error
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %p %c{1}: %m%n%throwable
"""


class KafkaServer(JavaServer):
    """A private Kafka, where nothing makes a topic by just naming it."""

    name = "kafka"
    artifacts = (
        f"org.apache.kafka:kafka_2.13:{VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    )
    port_count = 2  # for clients, for the controller

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"kafka://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """How much it says; what it is told otherwise waits for its ports."""
        (self.folder / "log4j2.properties").write_text(_LOGGING)

    def command(self) -> Sequence[str]:
        """The folder for its data is made before its first start."""
        configuration = self.folder / "server.properties"
        chosen = self._configuration() | self.settings
        configuration.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()
        return self._run("-Xmx256m", "kafka.Kafka", str(configuration))

    def answers(self) -> bool:
        """It names a broker that takes part."""
        answer = talk(self.port, say=len(_METADATA).to_bytes(4) + _METADATA)
        _, _, _, brokers = struct.unpack("!iiii", answer[:16])  # length, correlation, throttling, how many brokers
        return bool(brokers)

    def _configuration(self) -> dict[str, str]:
        client, controller = self.ports[:2]
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": f"{self.folder}/data",
            "num.partitions": "8",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "broker.session.timeout.ms": "2000",  # a killed one waits so long before it is let in again
            "broker.heartbeat.interval.ms": "300",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",  # a killed member is missed soon, in tests that say so
        }

    def _format(self) -> None:
        configuration = str(self.folder / "server.properties")
        tool = self._run("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", configuration)
        subprocess.run(tool, check=True, capture_output=True, timeout=self.starts_within)

    def _run(self, *options: str) -> list[str]:
        return self.java(f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties", *options)
