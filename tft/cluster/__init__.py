"""Where stages run: in this process, or in the actors of a Ray cluster. The only room that imports ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.cluster.inline import InlineExecutor

if TYPE_CHECKING:
    from tft.config import CampaignConfig
    from tft.ports import Executor

__all__ = ["open_executor"]


def open_executor(config: CampaignConfig) -> Executor:
    """Open the executor a config asks for.

    Raises:
        PrerequisiteError: if the cluster cannot be started or joined.
    """
    if config.cluster.type == "inline":
        return InlineExecutor(config.threads)
    from tft.cluster.ray import RayExecutor

    executor = RayExecutor(config.cluster, config.threads)
    executor.prepare([*(f"student/{student.id}" for student in config.students), "tutor"])
    return executor
