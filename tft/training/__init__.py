"""Training turns lessons into weights. One objective a file; ``loop.py`` runs any of them."""

from tft.training.classroom import ClassRequest, ClassResult, seat, train_together
from tft.training.loop import TrainRequest, train
from tft.training.opening import Opened, OpenRequest, open_once

__all__ = [
    "ClassRequest", "ClassResult", "OpenRequest", "Opened", "TrainRequest", "open_once", "seat", "train",
    "train_together",
]  # fmt: skip
