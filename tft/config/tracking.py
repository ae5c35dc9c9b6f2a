"""Where the metrics of a campaign go besides its run directory: the trackers people already use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tft.config._base import Frozen, name_to_type


class TensorBoardTracking(Frozen):
    """Event files for TensorBoard."""

    type: Literal["tensorboard"] = "tensorboard"
    """Says that this is TensorBoard."""
    folder: str | None = None
    """Where they are written; None means ``tensorboard`` in the run directory."""


class WandbTracking(Frozen):
    """A run of Weights & Biases. Unless it is offline, metrics and config leave this machine."""

    type: Literal["wandb"] = "wandb"
    """Says that this is Weights & Biases."""
    project: str = "tft"
    """Project it belongs to."""
    entity: str | None = None
    """User or team; None means the one that is logged in."""
    mode: Literal["online", "offline"] = "online"
    """``offline`` writes into the run directory; ``wandb sync`` sends it later."""


class MLflowTracking(Frozen):
    """A run of MLflow."""

    type: Literal["mlflow"] = "mlflow"
    """Says that this is MLflow."""
    uri: str | None = None
    """Tracking server or store; None means what ``MLFLOW_TRACKING_URI`` says, or ``mlflow.db`` in the run directory."""
    experiment: str = "tft"
    """Experiment it belongs to."""


class TrackioTracking(Frozen):
    """A run of Trackio, kept on this machine."""

    type: Literal["trackio"] = "trackio"
    """Says that this is Trackio."""
    project: str = "tft"
    """Project it belongs to."""


Tracking = Annotated[
    TensorBoardTracking | WandbTracking | MLflowTracking | TrackioTracking, Field(discriminator="type")
]
TrackingUse = Annotated[Tracking, BeforeValidator(name_to_type, json_schema_input_type=Tracking | str)]
"""One of them, or its type alone; the package it needs, and the extra that brings it, are called after the type."""
