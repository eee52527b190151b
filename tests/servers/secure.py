"""Servers with an encrypted door beside the plain one, for who knows the authority and the password, if there is any.

They are what tests kill, freeze and knock at in vain; others share the plain ones.
"""

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.servers.kafka import KafkaServer
from tests.servers.mosquitto import MosquittoServer
from tests.servers.nats import NatsServer
from tests.servers.pulsar import PulsarServer
from tests.servers.rabbitmq import RabbitmqServer
from tests.servers.redis import RedisServer

PASSWORD = "hid%den"  # with what has to be encoded in a URL
ENCODED = "hid%25den"


@cache
def vouched() -> Path:
    """A folder with `key.pem` and `ca.pem`, a certificate that is its own authority; `both.pem` has the two."""
    folder = Path(tempfile.mkdtemp(prefix="tidings-tls-", dir="/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subject = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -days 2 -nodes".split()
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (folder / "both.pem").write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
    folder.chmod(0o755)
    return folder


class SecureRedis(RedisServer):
    """A Redis for TLS too, and for a user with the rights that tidings needs; it takes no value above a megabyte."""

    port_count = 2

    def command(self) -> Sequence[str]:
        """The user's rights are words of their own."""
        files = f"--tls-cert-file {vouched()}/ca.pem --tls-key-file {vouched()}/key.pem --tls-auth-clients no".split()
        rights = ["--user", "me", "on", "+@all", "-@admin", "-@dangerous", "~tidings:*", "&tidings:*", f">{PASSWORD}"]
        limits = ["--proto-max-bulk-len", "1mb"]
        return [*super().command(), "--tls-port", str(self.ports[1]), *files, *limits, *rights]


class SecureNats(NatsServer):
    """A NATS that speaks TLS on its port with who wants it, and lets others in without a name."""

    def command(self) -> Sequence[str]:
        """Only a file says all this."""
        lines = [
            f'tls {{ cert_file: "{vouched()}/ca.pem", key_file: "{vouched()}/key.pem" }}',
            "allow_non_tls: true",
            f'authorization {{ users: [{{user: me, password: "{PASSWORD}"}}, {{user: any, password: any}}] }}',
            "no_auth_user: any",
        ]
        (self.folder / "nats.conf").write_text("\n".join(lines))
        return [*super().command(), "-c", str(self.folder / "nats.conf")]


class SecureRabbitmq(RabbitmqServer):
    """A RabbitMQ for TLS too."""

    port_count = 4

    def command(self) -> Sequence[str]:
        """Its ports are known by now."""
        files = {"cacertfile": "ca.pem", "certfile": "ca.pem", "keyfile": "key.pem"}
        self.settings |= {f"ssl_options.{name}": f"{vouched()}/{file}" for name, file in files.items()}
        self.settings["listeners.ssl.1"] = f"127.0.0.1:{self.ports[3]}"
        return super().command()


class SecureMosquitto(MosquittoServer):
    """A Mosquitto with a listener for those with the password; it takes no packet above a megabyte."""

    port_count = 2

    def prepare(self) -> None:
        """It reads passwords in a form of its own."""
        super().prepare()
        command = ["mosquitto_passwd", "-b", "-c", str(self.folder / "passwords"), "me", PASSWORD]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def command(self) -> Sequence[str]:
        """Settings are of a listener each."""
        self.settings["max_packet_size"] = "1000000"
        command = super().command()
        lines = [
            f"listener {self.ports[1]} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {self.folder}/passwords",
            f"certfile {vouched()}/ca.pem",
            f"keyfile {vouched()}/key.pem",
        ]
        file = self.folder / "mosquitto.conf"
        file.write_text("\n".join(["per_listener_settings true", file.read_text(), *lines]))
        return command


class SecureKafka(KafkaServer):
    """A Kafka with a third listener: encrypted, and for those with the password."""

    port_count = 3

    def _configuration(self) -> dict[str, str]:
        plain, secure = super()._configuration(), self.ports[2]
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return plain | {
            "listeners": plain["listeners"] + f",SECURE://127.0.0.1:{secure}",
            "advertised.listeners": plain["advertised.listeners"] + f",SECURE://127.0.0.1:{secure}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": f"{vouched()}/both.pem",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config": f'{module} user_me="{PASSWORD}";',
        }


class SecurePulsar(PulsarServer):
    """A Pulsar for TLS too."""

    port_count = 4

    def _configuration(self) -> dict[str, str]:
        return super()._configuration() | {
            "brokerServicePortTls": str(self.ports[3]),
            "tlsCertificateFilePath": f"{vouched()}/ca.pem",
            "tlsKeyFilePath": f"{vouched()}/key.pem",
        }
