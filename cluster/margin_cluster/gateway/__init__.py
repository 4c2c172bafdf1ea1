"""The gateway: a stateless gRPC server in front of the actors.

In `margin_cluster`, only this package uses the generated messages and stubs.
"""

from margin_cluster.gateway.options import GatewayOptions
from margin_cluster.gateway.server import Gateway

__all__ = ["Gateway", "GatewayOptions"]
