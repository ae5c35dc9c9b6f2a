"""Who gets which GPU, worked out from what there is: the tutor what its model is shared over, the students the rest.

Where there are more students than GPUs left, they share them; where there is one GPU for all, tutor and students have
a part of it each. Left out on purpose: models shared over machines, which need a GPU more than this can count.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from tft.config.campaign import EngineConfig, RayCluster

GPU_SHARE = "TFT_GPU_SHARE"
"""Environment variable that tells a process which part of its GPU it has; unset where it has all of it."""
TUTOR_SHARE = 0.5
"""Of the only GPU: the tutor has this part of it, and the students the other."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Placement:
    """GPUs a place."""

    tutor: float
    student: float
    """Of each student."""

    def told(self, students: int) -> str:
        """Say it in words."""
        if not self.tutor and not self.student:
            return "all on CPUs"
        return f"tutor {_told(self.tutor)}; each of {students} students {_told(self.student)}"


def share_out(cluster: RayCluster, engine: EngineConfig, students: int, nodes: list[int]) -> Placement:
    """Work out how many GPUs each place gets; what the config says stands.

    Args:
        cluster: what the config says.
        engine: of the tutor.
        students: how many there are.
        nodes: GPUs of each machine.

    Raises:
        UserError: if the tutor's model does not fit on one machine, or leaves no GPU to the students.
    """
    total, wanted = sum(nodes), gpus_wanted(engine)
    if total and cluster.tutor_gpus is None and wanted > max(nodes):
        raise UserError(Problem(
            f"the tutor's model is shared over {wanted} GPUs, and no machine has more than {max(nodes)}",
            key="tutor.engine.tensor_parallel", value=str(wanted), remedy="lower it, or serve the tutor elsewhere",
        ))  # fmt: skip
    placed = _place(cluster, float(wanted if total else 0), total, students)
    asked = placed.tutor + students * placed.student
    if asked > total + _ROUNDING:
        raise UserError(Problem(
            f"tutor and {students} students would have {asked:g} GPUs, and there are {total}",
            key="cluster" if cluster.tutor_gpus or cluster.student_gpus else "tutor.engine.tensor_parallel",
            value=placed.told(students), remedy="lower cluster.tutor_gpus, cluster.student_gpus or tensor_parallel; "
            "with student_gpus: 0 students learn on CPUs",
        ))  # fmt: skip
    return placed


def _place(cluster: RayCluster, wanted: float, total: int, students: int) -> Placement:
    """Give the tutor what it wants and the students the rest, but for what the config says."""
    tutor = wanted if cluster.tutor_gpus is None else cluster.tutor_gpus
    if cluster.student_gpus is not None:
        return Placement(tutor, cluster.student_gpus)
    if total == 1 == tutor and cluster.tutor_gpus is None:
        return Placement(TUTOR_SHARE, (1 - TUTOR_SHARE) / students)
    left = total - tutor
    if left <= 0:
        # One each is more than there is, and that is said; where there are none at all, nobody wants one.
        return Placement(tutor, 1.0 if total else 0.0)
    # A whole GPU, or one with as few others as may be.
    return Placement(tutor, left / students if left < 1 else 1.0 / math.ceil(students / math.floor(left)))


def gpus_here() -> int:
    """Count the GPUs of this machine that a process may use, without loading a framework."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len([path for path in Path("/dev").glob("nvidia[0-9]*") if path.name.removeprefix("nvidia").isdigit()])


def gpus_wanted(engine: EngineConfig) -> int:
    """Say how many GPUs a tutor takes where there are any."""
    if engine.type == "vllm":
        return engine.gpus
    return 0 if engine.type == "endpoint" else 1


def _told(gpus: float) -> str:
    if not gpus:
        return "no GPU"
    return f"{gpus:g} GPU" if gpus <= 1 else f"{gpus:g} GPUs"
