"""The gateway: a stateless gRPC server in front of the actors; only here are stubs touched."""

from margin_cluster.gateway.server import Gateway, GatewayOptions

__all__ = ["Gateway", "GatewayOptions"]
