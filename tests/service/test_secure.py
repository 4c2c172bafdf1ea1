"""TLS on every port: complete or refused, and nothing in plain text."""

import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from margin_client import MarginClient, RetryPolicy, Tls, UnavailableError
from margin_cluster.gateway import GatewayOptions
from margin_cluster.gateway.probe import ClientTls, service_status
from margin_cluster.gateway.tls import load_server_tls
from service_world import Running, World, beside

from margin_actors.errors import InvalidParameters, SourceUnavailable

ONCE = RetryPolicy(attempts_max=1)
MARGIN = Path(sys.executable).parent / "margin"


@dataclass(frozen=True)
class Files:
    """PEM files of a service and of callers with and without a certificate that it accepts."""

    certificate: Path
    key: Path
    ca: Path
    known: Tls
    stranger: Tls
    anonymous: Tls


def write(path: Path, *blobs: trustme.Blob) -> Path:
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    ca = write(folder / "ca.pem", authority.cert_pem)

    def caller(issuer: trustme.CA, name: str) -> Tls:
        own = issuer.issue_cert("client@example.com", common_name=name)
        chain = write(folder / f"{name}.pem", *own.cert_chain_pems)
        return Tls(ca, chain, write(folder / f"{name}_key.pem", own.private_key_pem))

    return Files(
        write(folder / "chain.pem", *ours.cert_chain_pems),
        write(folder / "key.pem", ours.private_key_pem),
        ca,
        caller(authority, "member-a"),
        caller(trustme.CA(), "stranger"),
        Tls(ca),
    )


@pytest.fixture(scope="module")
def running(service_of_session: Running, world: World, files: Files) -> Iterator[Running]:
    with beside(
        service_of_session,
        world,
        tls_certificate=files.certificate,
        tls_key=files.key,
        tls_client_ca=files.ca,
        metrics_port=0,
    ) as running:
        yield running


def test_only_callers_with_a_known_certificate_are_served(
    running: Running, world: World, files: Files
) -> None:
    with MarginClient(running.target, tls=files.known, compression="gzip") as client:
        assert client.calculate_book().digest == world.expected.digest
    for refused in (files.anonymous, files.stranger, None):
        with MarginClient(running.target, tls=refused, retries=ONCE) as client:
            with pytest.raises(UnavailableError):
                client.get_status(timeout_seconds=5)


def test_the_health_port_requires_the_same_certificates(running: Running, files: Files) -> None:
    """The health port answers only callers with a certificate of the client authority."""
    target = f"127.0.0.1:{running.gateway.health_port}"

    def check(tls: Tls | None) -> int:
        credentials = tls.credentials() if tls else None
        opened = (
            grpc.secure_channel(target, credentials)
            if credentials
            else grpc.insecure_channel(target)
        )
        with opened as channel:
            return (
                health_pb2_grpc.HealthStub(channel)
                .Check(health_pb2.HealthCheckRequest(), timeout=5)
                .status
            )

    assert check(files.known) == health_pb2.HealthCheckResponse.SERVING
    for refused in (files.anonymous, files.stranger, None):
        with pytest.raises(grpc.RpcError) as caught:
            check(refused)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_metrics_port_requires_the_same_certificates(running: Running, files: Files) -> None:
    address = f"127.0.0.1:{running.gateway.metrics_port}"

    def fetch(tls: Tls) -> str:
        context = ssl.create_default_context(cafile=str(files.ca))
        if tls.certificate is not None and tls.key is not None:
            context.load_cert_chain(tls.certificate, tls.key)
        with urllib.request.urlopen(f"https://{address}/", context=context, timeout=5) as answer:
            return answer.read().decode()

    found = fetch(files.known)
    for name in ("calls_waiting", "run_slots_free", "snapshot_age_seconds", "ledger_failures"):
        assert f"margin_{name}" in found
    for refused in (files.anonymous, files.stranger):
        with pytest.raises((URLError, OSError)):
            fetch(refused)
    with pytest.raises((URLError, OSError)):
        urllib.request.urlopen(f"http://{address}/", timeout=5).read()


@pytest.mark.slow
def test_the_status_command_uses_tls(running: Running, files: Files) -> None:
    """`margin status` presents a certificate; without one, or without TLS, it is refused."""
    known = files.known
    command = [MARGIN, "status", "--address", running.target, "--json", "--tls-ca", files.ca]
    own = ["--tls-certificate", known.certificate, "--tls-key", known.key]
    done = subprocess.run([*command, *own], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"is_ready": true' in done.stdout
    with pytest.raises(SourceUnavailable):
        service_status(running.target, timeout_seconds=5)
    with pytest.raises(SourceUnavailable):
        service_status(running.target, timeout_seconds=5, tls=ClientTls(files.ca))


def test_calls_carry_the_identity_of_the_certificate(
    running: Running, files: Files, capfd: pytest.CaptureFixture[str]
) -> None:
    with MarginClient(running.target, tls=files.known) as client:
        client.get_status(request_id="who-asks")
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if "who-asks" in line]
    assert any("member-a" in line for line in lines), lines


COMBINATIONS = [
    ("certificate",),
    ("key",),
    ("client_ca",),
    ("certificate", "client_ca"),
    ("key", "client_ca"),
]


@pytest.mark.parametrize("given", COMBINATIONS, ids="+".join)
def test_an_incomplete_combination_is_refused(given: tuple[str, ...], files: Files) -> None:
    """Certificate and key are given together; the gateway never falls back to plain text."""
    paths = {"certificate": files.certificate, "key": files.key, "client_ca": files.ca}
    with pytest.raises(InvalidParameters) as caught:
        GatewayOptions(**{f"tls_{name}": paths[name] for name in given})
    missing = {"certificate", "key"} - set(given)
    assert {p.where for p in caught.value.problems} == {f"tls_{name}" for name in missing}


@pytest.mark.slow
def test_the_serve_command_refuses_an_incomplete_combination(files: Files) -> None:
    options = ["--tls-certificate", files.certificate, "--tls-client-ca", files.ca]
    done = subprocess.run(
        [MARGIN, "serve", "--port", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "tls_key: is missing" in done.stderr
    assert "Ready" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_what_it_should_be_is_named(files: Files, tmp_path: Path) -> None:
    bad, absent = tmp_path / "bad.pem", tmp_path / "absent.pem"
    bad.write_text("not PEM")
    other = write(tmp_path / "other.pem", trustme.CA().issue_cert("127.0.0.1").private_key_pem)
    for certificate, key, ca, named in (
        (bad, files.key, None, "bad.pem"),
        (files.certificate, bad, None, "bad.pem"),
        (files.certificate, other, None, "other.pem"),
        (files.certificate, files.key, bad, "bad.pem"),
        (absent, files.key, None, "absent.pem"),
        (files.certificate, tmp_path, None, str(tmp_path)),
    ):
        with pytest.raises(InvalidParameters, match=named):
            load_server_tls(certificate, key, ca)
    with pytest.raises(InvalidParameters, match=r"tls_key: is missing(.|\n)*tls_ca: is missing"):
        ClientTls(certificate=files.certificate)
    with pytest.raises(InvalidParameters, match=r"absent\.pem"):
        service_status("127.0.0.1:1", timeout_seconds=1, tls=ClientTls(absent))
