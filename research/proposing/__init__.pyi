from .proposal import Proposal, propose
from .standing import still_open

__all__ = ["Proposal", "propose", "still_open"]
