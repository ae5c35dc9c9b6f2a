"""What somebody else serves the same tutor with."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from itertools import pairwise

import yaml

from tests.remote import needs_vllm
from tft.cluster.manifest import ray_service, vllm_command
from tft.config.campaign import VLLMEngineConfig
from tft.config.cards import ServeUse
from tft.config.reading import parse_config
from tft.engines.encoding import PLAIN
from tft.preparation import find_served

WIDE = {"type": "vllm", "dtype": "bfloat16", "tensor_parallel": 2, "context": 4096, "eager": True}

PARSE = """
import json, sys
from vllm.entrypoints.chat_utils import load_chat_template
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

found = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])
names = ("model_tag", "revision", "tokenizer_revision", "load_format", "generation_config", "max_logprobs",
         "default_chat_template_kwargs")
print(json.dumps([load_chat_template(found.chat_template), *(getattr(found, name) for name in names)]))
"""


def words_of(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))


def test_the_command_of_vllm_says_what_the_engine_says_and_tells_no_key() -> None:
    engine = VLLMEngineConfig.model_validate(WIDE)
    command = vllm_command("/models/a model", "tutor", engine, "127.0.0.1", 8765)
    words = words_of(command)
    assert words[:4] == ["VLLM_API_KEY=$TFT_SERVE_KEY", "vllm", "serve", "/models/a model"]
    options = dict(pairwise(words))
    assert options["--host"] == "127.0.0.1"
    assert options["--tensor-parallel-size"] == "2"
    assert options["--max-model-len"] == "4096"
    assert "--enforce-eager" in words
    assert "--gpu-memory-utilization" not in words
    assert "--api-key" not in words


@needs_vllm
def test_vllm_alone_serves_what_the_embedded_engine_has() -> None:
    template = {"chat_template": "plain", "enable_thinking": False}
    engine = VLLMEngineConfig.model_validate({**WIDE, "template": template})
    _, _, _, *words = words_of(vllm_command("Qwen/Qwen3-0.6B@c1899de", "tutor", engine, "127.0.0.1", 8765))
    done = subprocess.run([sys.executable, "-c", PARSE, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [
        PLAIN, "Qwen/Qwen3-0.6B", "c1899de", "c1899de", "safetensors", "vllm", -1, {"enable_thinking": False}
    ]  # fmt: skip


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
