"""Services on loopback that speak the protocols of Yahoo and Bybit, for the real clients to talk to."""
