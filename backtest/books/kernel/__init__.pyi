from .account import Account, Record, equity_of, record, run
from .market import Market
from .sweeps import Decisions, SweptAccounts, decision_weights, sweep, sweep_weights

__all__ = [
    "Account",
    "Decisions",
    "Market",
    "Record",
    "SweptAccounts",
    "decision_weights",
    "equity_of",
    "record",
    "run",
    "sweep",
    "sweep_weights",
]
