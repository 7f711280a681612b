from .account import Account, Record, record, run
from .market import Market
from .sweeps import Decisions, Sweep, decision_weights, sweep, sweep_weights

__all__ = [
    "Account",
    "Decisions",
    "Market",
    "Record",
    "Sweep",
    "decision_weights",
    "record",
    "run",
    "sweep",
    "sweep_weights",
]
