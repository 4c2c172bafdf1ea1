"""TLS, certificates of clients, and a gateway that speaks compressed."""

from pathlib import Path

import pytest
import trustme
from margin_client import MarginClient, RetryPolicy, Tls, UnavailableError
from service_world import World, served

ONCE = RetryPolicy(attempts_max=1)


@pytest.mark.usefixtures("embedded")
def test_only_callers_with_a_certificate_are_heard(world: World, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "ca")}
    files["chain"].write_bytes(b"".join(b.bytes() for b in ours.cert_chain_pems))
    files["key"].write_bytes(ours.private_key_pem.bytes())
    files["ca"].write_bytes(authority.cert_pem.bytes())

    def tls(certified_by: trustme.CA | None) -> Tls:
        if certified_by is None:
            return Tls(files["ca"])
        own = certified_by.issue_cert("client@example.com")
        chain, key = tmp_path / "own.pem", tmp_path / "own_key.pem"
        chain.write_bytes(b"".join(b.bytes() for b in own.cert_chain_pems))
        key.write_bytes(own.private_key_pem.bytes())
        return Tls(files["ca"], chain, key)

    with served(
        world,
        tmp_path / "state",
        tls_certificate=files["chain"],
        tls_key=files["key"],
        tls_client_ca=files["ca"],
    ) as running:
        with MarginClient(running.target, tls=tls(authority), compression="gzip") as client:
            assert client.calculate_book().digest == world.expected.digest
        for refused in (tls(None), tls(stranger), None):
            with MarginClient(running.target, tls=refused, retries=ONCE) as client:
                with pytest.raises(UnavailableError):
                    client.get_status(timeout_seconds=5)
