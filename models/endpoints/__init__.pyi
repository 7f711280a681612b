from .journal import BudgetError, Journal, Spent
from .settings import EndpointSettings

__all__ = ["BudgetError", "EndpointSettings", "Journal", "Spent"]
