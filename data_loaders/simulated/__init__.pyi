from .market import SimulatedMarket, Simulation, Truth, simulate_market

__all__ = [
    "SimulatedMarket",
    "Simulation",
    "Truth",
    "simulate_market",
]
