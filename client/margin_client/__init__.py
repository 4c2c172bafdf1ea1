"""The client of the margin service: what a venue or a clearing member installs.

The base install holds this package and the contract alone; it loads neither numpy nor the server.
"""

from importlib.metadata import version

__version__: str = version("margin-cluster")

__all__ = ["__version__"]
