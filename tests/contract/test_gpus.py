"""On a cluster with GPUs every place sees its own. Ray is told of GPUs that are not there; nobody uses them."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import asyncio, json, sys
import ray
from tests.contract.stages import seen_gpus
from tft.cluster.ray import RayExecutor
from tft.config.campaign import RayCluster, ThreadsConfig, VLLMEngineConfig

ray.init(address="local", num_cpus=8, num_gpus=4, include_dashboard=False, log_to_driver=False,
         _node_ip_address="127.0.0.1")

async def main():
    found = {}
    for wide, students in ((2, 2), (2, 4), (1, 2)):
        executor = RayExecutor(RayCluster(), ThreadsConfig(), VLLMEngineConfig(tensor_parallel=wide), students)
        places = ["tutor", *(f"student/{number}" for number in range(students))]
        seen = [(await executor.run(place, seen_gpus, None))[0] for place in places]
        found[f"{wide} of 4, {students} students"] = seen
        await executor.close()
    print(json.dumps(found))

asyncio.run(main())
ray.shutdown()
"""


def test_every_place_sees_its_own_gpus() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    tutor, *students = found["2 of 4, 2 students"]
    assert len(tutor[0].split(",")) == 2
    assert {share for _, share in (tutor, *students)} == {None}
    assert sorted(",".join(gpus for gpus, _ in (tutor, *students)).split(",")) == ["0", "1", "2", "3"]
    tutor, *students = found["2 of 4, 4 students"]
    assert [share for _, share in students] == ["0.5"] * 4
    assert all(len(gpus.split(",")) == 1 and gpus not in tutor[0].split(",") for gpus, _ in students)
    tutor, *students = found["1 of 4, 2 students"]
    assert len({gpus for gpus, _ in (tutor, *students)}) == 3
