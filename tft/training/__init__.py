"""Training turns lessons into weights. One objective a file; ``loop.py`` runs any of them."""

from tft.training.classroom import ClassRequest, ClassResult, seat, train_together
from tft.training.loop import TrainRequest, train

__all__ = ["ClassRequest", "ClassResult", "TrainRequest", "seat", "train", "train_together"]
