"""The feed of Deribit's public data: `DeribitFeed` in `feed`, which loads the HTTP library."""

from margin_cluster.feeds.deribit.options import DeribitOptions

__all__ = ["DeribitOptions"]
