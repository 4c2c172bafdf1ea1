"""The margin engine: market data, mathematics and (with Ray) the actors that run them."""
