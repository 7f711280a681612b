from .proposal import Proposal, propose

__all__ = ["Proposal", "propose"]
