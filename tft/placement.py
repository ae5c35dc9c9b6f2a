"""Who gets which GPU, worked out from what there is: the tutor what its model is shared over, the students the rest.

Where there are more students than GPUs left, they share them; where there is one GPU for all, tutor and students have
a part of it each. Left out on purpose: models shared over machines, which need a GPU more than this can count.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
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
    """Of each student, or of each of the workers that train it."""
    workers: int = 1
    """That train a student."""

    def told(self, students: int) -> str:
        """Say it in words."""
        several = self.workers > 1
        if not self.tutor and not self.student:
            return f"all on CPUs, {self.workers} workers a student" if several else "all on CPUs"
        who = f"each of {self.workers} workers of {students} students" if several else f"each of {students} students"
        return f"tutor {_told(self.tutor)}; {who} {_told(self.student)}"


def share_out(
    cluster: RayCluster, engine: EngineConfig, students: int, nodes: list[int], workers: int = 1
) -> Placement:
    """Work out how many GPUs each place gets; what the config says stands.

    Args:
        cluster: what the config says.
        engine: of the tutor.
        students: how many there are.
        nodes: GPUs of each machine.
        workers: that train each student.

    Raises:
        UserError: if the tutor's model does not fit on one machine, or leaves no GPU to the students, or several
            workers of a student would share a GPU.
    """
    total, wanted = sum(nodes), gpus_wanted(engine)
    if total and cluster.tutor_gpus is None and wanted > max(nodes):
        raise UserError(Problem(
            f"the tutor's model is shared over {wanted} GPUs, and no machine has more than {max(nodes)}",
            key="tutor.engine.tensor_parallel", value=str(wanted), remedy="lower it, or serve the tutor elsewhere",
        ))  # fmt: skip
    seats = students * workers
    placed = replace(_place(cluster, float(wanted if total else 0), total, seats), workers=workers)
    if workers > 1 and placed.student % 1:
        raise UserError(Problem(
            f"{students} students with {workers} workers each would have {placed.student:g} GPU a worker, and workers "
            "of a student cannot share one", key="training.workers", value=str(workers),
            remedy="lower it, or with cluster.student_gpus: 0 let students learn on CPUs",
        ))  # fmt: skip
    asked = placed.tutor + seats * placed.student
    told = f"{students} students" if workers == 1 else f"{workers} workers of each of {students} students"
    if asked > total + _ROUNDING:
        raise UserError(Problem(
            f"tutor and {told} would have {asked:g} GPUs, and there are {total}",
            key="cluster" if cluster.tutor_gpus or cluster.student_gpus else "tutor.engine.tensor_parallel",
            value=placed.told(students), remedy="lower cluster.tutor_gpus, cluster.student_gpus or tensor_parallel; "
            "with student_gpus: 0 students learn on CPUs",
        ))  # fmt: skip
    return placed


def _place(cluster: RayCluster, wanted: float, total: int, seats: int) -> Placement:
    """Give the tutor what it wants and the students the rest, but for what the config says."""
    tutor = wanted if cluster.tutor_gpus is None else cluster.tutor_gpus
    if cluster.student_gpus is not None:
        return Placement(tutor, cluster.student_gpus)
    if total == 1 == tutor and cluster.tutor_gpus is None:
        return Placement(TUTOR_SHARE, (1 - TUTOR_SHARE) / seats)
    left = total - tutor
    if left <= 0:
        # One each is more than there is, and that is said; where there are none at all, nobody wants one.
        return Placement(tutor, 1.0 if total else 0.0)
    # A whole GPU, or one with as few others as may be.
    return Placement(tutor, left / seats if left < 1 else 1.0 / math.ceil(seats / math.floor(left)))


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
