"""The Ray cluster of a test session: one head node for all tests, more nodes where a test asks.

Starting Ray and its first workers takes several seconds, so all tests that need actors share one
cluster. Each service and each set of actors has its own Ray namespace in it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import ray
from margin_cluster.service import ray_environment
from ray.cluster_utils import Cluster
from waiting import wait_until

CPUS = 2
NAMESPACE = "tests"
# A node whose processes have exited refuses the health check at once and is declared lost within
# about a second. A node that is alive but busy has 10 s for each of three checks.
_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 3,
}
_shared: Cluster | None = None


def _start(checks: dict[str, int] | None) -> Cluster:
    """Start a head node, attach this process to it, and return its cluster."""
    here = str(Path(__file__).parent)
    path = os.environ.get("PYTHONPATH", "")
    if here not in path.split(os.pathsep):  # workers import modules of the tests
        os.environ["PYTHONPATH"] = os.pathsep.join([here, path]) if path else here
    ray_environment(CPUS)
    logging.getLogger("ray").setLevel(logging.ERROR)
    head: dict[str, object] = {
        "num_cpus": CPUS,
        "object_store_memory": 2**30,
        "include_dashboard": False,
        "include_log_monitor": False,
        "no_monitor": True,
    }
    if checks is not None:
        head["_system_config"] = checks
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        attach(cluster.address)
    except BaseException:
        cluster.shutdown()
        raise
    return cluster


def attach(address: str) -> None:
    """Attach this process to a running Ray cluster."""
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace=NAMESPACE)


def _stop(cluster: Cluster) -> None:
    ray.shutdown()
    cluster.shutdown()


def shared_cluster() -> Cluster:
    """Return the cluster of the session; start it on first use."""
    global _shared
    if _shared is None:
        _shared = _start(_CHECKS)
    return _shared


def stop_shared_cluster() -> None:
    """Stop the cluster of the session, if it runs."""
    global _shared
    if _shared is not None:
        cluster, _shared = _shared, None
        _stop(cluster)


@contextmanager
def nodes(count: int) -> Iterator[Cluster]:
    """Yield the cluster of the session with `count` nodes of two CPUs each."""
    cluster = shared_cluster()
    _with_nodes(cluster, count)
    try:
        yield cluster
    finally:
        for node in list(cluster.worker_nodes):
            cluster.remove_node(node, allow_graceful=False)
        wait_until(lambda: sum(n["Alive"] for n in ray.nodes()) == 1)


@contextmanager
def nodes_with_default_health_checks(count: int) -> Iterator[Cluster]:
    """Yield a separate cluster with Ray's own settings; the cluster of the session must be down."""
    assert _shared is None
    cluster = _start(None)
    try:
        _with_nodes(cluster, count)
        yield cluster
    finally:
        _stop(cluster)


def _with_nodes(cluster: Cluster, count: int) -> None:
    for _ in range(count - len(cluster.list_all_nodes())):
        cluster.add_node(num_cpus=CPUS)
    cluster.wait_for_nodes()


def ray_processes(*names: str) -> list[psutil.Process]:
    """Return the Ray workers below this process whose titles contain one of `names`; or all."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if title.startswith("ray::") and (not names or any(name in title for name in names)):
            found.append(process)
    return found
