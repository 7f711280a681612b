from .health import Symptom, examine
from .holdings import Holding, held_in, remove

__all__ = ["Holding", "Symptom", "examine", "held_in", "remove"]
