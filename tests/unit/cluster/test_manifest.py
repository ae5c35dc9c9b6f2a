"""What somebody else serves the same tutor with."""

from __future__ import annotations

import shlex
from itertools import pairwise

import yaml

from tft.cluster.manifest import ray_service, vllm_command
from tft.config.campaign import VLLMEngineConfig
from tft.config.cards import ServeUse
from tft.config.reading import parse_config
from tft.preparation import find_served

WIDE = {"type": "vllm", "dtype": "bfloat16", "tensor_parallel": 2, "context": 4096, "eager": True}


def test_the_command_of_vllm_says_what_the_engine_says_and_tells_no_key() -> None:
    engine = VLLMEngineConfig.model_validate(WIDE)
    command = vllm_command("/models/a model", "tutor", engine, "127.0.0.1", 8765)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:4] == ["VLLM_API_KEY=$TFT_SERVE_KEY", "vllm", "serve", "/models/a model"]
    options = dict(pairwise(words))
    assert options["--host"] == "127.0.0.1"
    assert options["--tensor-parallel-size"] == "2"
    assert options["--max-model-len"] == "4096"
    assert "--enforce-eager" in words
    assert "--gpu-memory-utilization" not in words
    assert "--api-key" not in words


def test_the_manifest_serves_the_same_tutor_with_a_key_from_a_secret() -> None:
    use = ServeUse.model_validate({"use": "abacus", "engine": WIDE, "serve": {"replicas": 2, "most": 4}})
    manifest = yaml.safe_load(ray_service(use, find_served(use)))
    (application,) = yaml.safe_load(manifest["spec"]["serveConfigV2"])["applications"]
    assert application["import_path"] == "tft.cluster.serving:application"
    assert parse_config(ServeUse, application["args"], "args") == use
    cluster = manifest["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["minReplicas"], workers["maxReplicas"]) == (2, 4)
    (container,) = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    for place in (container, cluster["headGroupSpec"]["template"]["spec"]["containers"][0]):
        (key,) = place["env"]
        assert key["name"] == "TFT_SERVE_KEY"
        assert set(key) == {"name", "valueFrom"}


def test_a_model_on_the_hub_is_not_fetched_to_be_named() -> None:
    served = find_served(ServeUse.model_validate({"use": "qwen3", "name": "tutor"}))
    assert (served.name, served.tutor.model_path) == ("tutor", "Qwen/Qwen3-30B-A3B-Instruct-2507")
    assert served.gpus == 1
