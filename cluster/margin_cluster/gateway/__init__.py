"""The gateway: a stateless gRPC server in front of the actors; only here are stubs used."""

from margin_cluster.gateway.options import GatewayOptions
from margin_cluster.gateway.server import Gateway

__all__ = ["Gateway", "GatewayOptions"]
