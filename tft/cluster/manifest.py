"""What somebody else needs to serve the same tutor: the plain command of vLLM, and a manifest for Kubernetes."""

from __future__ import annotations

import json
import math
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from tft import __version__
from tft.config.campaign import STRUCTURED_OUTPUTS
from tft.config.cards import SERVE_KEY
from tft.engines.encoding import find_template
from tft.library import split_revision

if TYPE_CHECKING:
    from tft.config.campaign import EngineConfig
    from tft.config.cards import ServeUse
    from tft.preparation import Served


APPLICATION = "tft-tutor"
"""What Ray Serve calls the application of a served tutor."""


def vllm_command(model: str, name: str, engine: EngineConfig, host: str, port: int) -> str:
    """Write the command line that serves a model with vLLM alone; its key comes from the environment.

    What it serves answers as the embedded engine does: with nothing of the model's ``generation_config.json`` but
    what ends an answer, as many log-probabilities as are asked for, and the engine's own chat template.

    vLLM guards ``/v1`` with that key and nothing else, so it belongs behind something that closes the other routes.
    """
    weights, revision = split_revision(model)
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "served-model-name": name,
        "revision": revision,
        "tokenizer-revision": revision,
        "load-format": "safetensors",
        "generation-config": "vllm",
        "max-logprobs": -1,
        "structured-outputs-config": json.dumps(STRUCTURED_OUTPUTS),
        "chat-template": find_template(engine.template.get("chat_template")),
    }
    if engine.type == "vllm":
        options |= {
            "dtype": engine.dtype,
            "tensor-parallel-size": engine.tensor_parallel,
            "pipeline-parallel-size": engine.pipeline_parallel,
            "max-model-len": engine.context,
            "max-num-seqs": engine.sequences,
            "gpu-memory-utilization": engine.gpu_memory,
            "block-size": engine.block_size,
        }
    words = [f'VLLM_API_KEY="${SERVE_KEY}" vllm serve {shlex.quote(weights)}']
    words += [f"--{option} {shlex.quote(str(value))}" for option, value in options.items() if value is not None]
    switches = {name: it for name, it in engine.template.items() if name != "chat_template"}
    if switches:
        words.append(f"--default-chat-template-kwargs {shlex.quote(json.dumps(switches))}")
    if engine.type == "vllm" and engine.eager:
        words.append("--enforce-eager")
    return " \\\n  ".join(words)


def ray_service(use: ServeUse, served: Served) -> str:
    """Write the RayService that serves a tutor on Kubernetes, as YAML.

    Args:
        use: what to serve, as it was asked for.
        served: what that became.
    """
    config = served.config
    label = "".join(letter if letter.isalnum() else "-" for letter in served.name.lower()).strip("-")
    application = {
        "name": APPLICATION,
        "import_path": "tft.cluster.serving:application",
        "route_prefix": "/",
        "args": use.model_dump(mode="json", exclude_unset=True),
    }
    key = {"name": SERVE_KEY, "valueFrom": {"secretKeyRef": {"name": f"tft-{label}", "key": "key"}}}
    container = {"image": f"tft:{__version__}", "env": [key]}
    limits = {"cpu": max(1, math.ceil(config.cpus))}
    if served.tutor.engine.type == "vllm" or config.gpus:
        limits["nvidia.com/gpu"] = math.ceil(served.gpus)
    manifest = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": f"tft-{label}"},
        "spec": {
            "serveConfigV2": yaml.safe_dump({"applications": [application]}, sort_keys=False),
            "rayClusterConfig": {
                "enableInTreeAutoscaling": config.at_most > config.replicas,
                "headGroupSpec": {
                    # The operator comes to the head from another pod.
                    "rayStartParams": {"dashboard-host": "0.0.0.0"},  # noqa: S104
                    "template": {"spec": {"containers": [{"name": "head", **container}]}},
                },
                "workerGroupSpecs": [{
                    "groupName": "tutors",
                    "replicas": config.replicas,
                    "minReplicas": config.replicas,
                    "maxReplicas": config.at_most,
                    "rayStartParams": {},
                    "template": {"spec": {"containers": [
                        {"name": "tutor", **container, "resources": {"limits": limits, "requests": limits}}
                    ]}},
                }],
            },
        },
    }  # fmt: skip
    text: str = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and what stands in several places in each of them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)
