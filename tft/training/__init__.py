"""Training turns lessons into weights. One objective a file; ``loop.py`` runs any of them."""

from tft.training.loop import TrainRequest, train

__all__ = ["TrainRequest", "train"]
