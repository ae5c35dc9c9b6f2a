"""What training takes of memory: by hand, measured, and against the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory as benchmark
from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PrefixAdapter, PromptAdapter
from tft.config.optimizers import AdafactorConfig, AdamW8bitConfig, AdamWConfig, MuonConfig, SGDConfig
from tft.library import shipped
from tft.validation import machine, validate
from tft.validation.machine import count_weights
from tft.validation.memory import FRAMEWORK, Load, Needed, Shape, count_trained, estimate_training, read_shape

from .test_validation import found, offline, write

__all__ = ["offline"]

ABACUS = shipped() / "tutors" / "abacus"
GIB = 2**30
# Two layers of width 8 and 16 within, two heads of 4 with one of keys and values, 32 tokens.
SMALL = Shape(2, 8, 16, 2, 1, 4, 32, tied=True)
LOAD = Load(rows=3, length=10, learned=4)
HIGH = Shape(2, 1024, 2048, 8, 4, 128, 1000, tied=False)


def test_a_small_model_by_hand() -> None:
    assert SMALL.linear == 2 * (64 + 32 + 32 + 64 + 3 * 128)
    assert SMALL.weights == SMALL.linear + 256 + 5 * 8 == 1448
    found = estimate_training(SMALL, FullAdapter(), AdamWConfig(), LOAD)
    assert found == Needed(
        weights=4 * 1448,
        gradients=4 * (1448 + 2 * 256),
        optimizer=8 * 1448,
        # Numbers a token and layer: 6·8 + 4·16 + 4·8 + 2·10, three times, and 4·8 around them.
        activations=4 * 30 * (3 * (48 + 64 + 32 + 20) + 32),
        logits=20 * 3 * 4 * 32,
        reference=0,
        roll_outs=0,
    )
    assert found.total == sum((found.weights, found.gradients, found.optimizer, found.activations, found.logits,
                               FRAMEWORK))  # fmt: skip


def test_answers_are_written_when_gradients_are_gone() -> None:
    load = Load(rows=1, length=10, learned=4, written=1000, answer=50, referred=True)
    found = estimate_training(SMALL, LoraAdapter(r=2), SGDConfig(momentum=0.0), load)
    assert found.roll_outs == 4 * 1000 * (2 * 50 * 2 * 1 * 4 + 10 * 32)
    assert found.reference == found.weights == 4 * (1448 + 2 * 2 * (16 + 12 + 12 + 16 + 3 * 24))
    assert found.total == found.weights + found.reference + found.roll_outs + FRAMEWORK


@pytest.mark.parametrize("name", ["novice-a", "novice-b", "weights"])
def test_the_shape_of_a_model_says_how_many_weights_it_has(name: str) -> None:
    shape = read_shape(ABACUS / name)
    assert shape is not None and shape.context == 256
    assert shape.weights == count_weights(str(ABACUS / name))


@pytest.mark.parametrize(
    "adapter",
    [LoraAdapter(r=4), PrefixAdapter(tokens=3), PromptAdapter(tokens=3), BottleneckAdapter(width=6), FullAdapter()],
    ids=lambda it: it.type,
)
def test_what_is_trained_is_counted_as_it_is(adapter: Any) -> None:
    from tft.student.models import adapt
    from tft.student.ref import StudentRef

    shape = read_shape(ABACUS / "novice-a")
    assert shape is not None
    model, _ = adapt(StudentRef("ada", str(ABACUS / "novice-a"), "base", adapter), 1)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert count_trained(shape, adapter, shape.weights) == trained


@pytest.mark.parametrize(
    "told",
    ["", "[]", "{}", '{"num_hidden_layers": 2}', '{"num_hidden_layers": "many", "hidden_size": 8, "vocab_size": 1}'],
)
def test_what_does_not_tell_its_shape_is_unknown(told: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(told)
    assert read_shape(tmp_path) is None
    assert read_shape(tmp_path / "nowhere") is None


def test_experts_are_unknown_and_old_names_are_known(tmp_path: Path) -> None:
    whole = json.loads((ABACUS / "novice-a" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**whole, "num_experts": 8}))
    assert read_shape(tmp_path) is None
    (tmp_path / "config.json").write_text('{"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}')
    assert read_shape(tmp_path) == Shape(12, 768, 3072, 12, 12, 64, 50257, tied=False)


def test_every_remedy_takes_less() -> None:
    def total(adapter: Any = FullAdapter(), optimizer: Any = AdamWConfig(), **changes: Any) -> int:  # noqa: B008
        load = Load(**{"rows": 8, "length": 512, "learned": 256, **changes})
        return estimate_training(HIGH, adapter, optimizer, load).total

    assert total(LoraAdapter(quantize="nf4")) < total(LoraAdapter()) < total()
    assert total(rows=1) < total(recomputed=True) < total()
    assert total(fused=True) < total()
    sizes = [total(optimizer=it) for it in (SGDConfig(momentum=0), AdafactorConfig(), AdamW8bitConfig(), MuonConfig(),
                                            AdamWConfig())]  # fmt: skip
    assert sizes == sorted(sizes) and sizes[0] == sizes[1] and len(set(sizes)) == 4


@pytest.mark.parametrize("name", ["full-again", "practice"])
def test_the_estimate_is_near_what_was_measured(name: str) -> None:
    # python -m benchmarks run memory measures many more.
    (row,) = benchmark.run([name])
    assert row.met, row


def limited(patch: pytest.MonkeyPatch, free: float, whole: float) -> None:
    patch.setattr(machine, "_machine_memory", lambda: (round(free * GIB), round(whole * GIB)))


def test_a_student_that_may_not_fit_is_warned_of_and_what_would_fit_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    limited(monkeypatch, 100, 100)
    assert not validate(path).warnings
    limited(monkeypatch, 0.7, 100)
    checked = validate(path)
    assert not checked.problems
    (warning,) = checked.warnings
    assert warning.key == "students.0.model"
    assert "may take" in warning.message and "0.7 GiB are free" in warning.message
    for remedy in ("micro_batch: 1", "checkpoint_activations", "adapter: lora", "quantize: nf4"):
        assert remedy in str(warning.remedy)
    assert checked.as_record()["warnings"][0]["key"] == "students.0.model"
    # What is done already is not proposed.
    done = ["training.micro_batch=1", "training.checkpoint_activations=true", "students.0.adapter=lora"]
    limited(monkeypatch, 0.1, 100)
    (warning,) = validate(path, done).warnings
    assert "take a smaller model" in str(warning.remedy) and "micro_batch" not in str(warning.remedy)
    # Nobody knows the machines of a cluster that is joined.
    assert not validate(path, ["cluster={type: ray, address: auto}"]).warnings


def test_students_that_are_trained_at_once_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [{"id": name, "model": "abacus/novice-b"} for name in ("ada", "blaise")]
    path = write(tmp_path, {"students": twice})
    most = validate(path).estimate["memory_bytes"]["students"]["ada"]["total"]
    limited(monkeypatch, 1.5 * most / GIB, 100)
    (warning,) = validate(path).warnings
    assert warning.key == "cluster" and "inline" in str(warning.remedy)
    assert not validate(path, ["cluster=inline"]).warnings


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    limited(monkeypatch, 0.001, 0.001)
    assert "weights alone" in found(path)["students.0.model"].message


def test_a_gpu_is_asked_for_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '1000, 2000'\necho '600, 2000'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert machine._gpu_memory(0.5) == (None, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert machine._gpu_memory(0.5) == (300 * 2**20, 1000 * 2**20)
    (warning,) = validate(write(tmp_path), ["cluster=inline"]).warnings
    assert "0.6 GiB are free" in warning.message
    program.write_text("#!/bin/sh\nexit 9\n")
    assert machine._gpu_memory(1.0) == (None, None)
    program.write_text("#!/bin/sh\nsleep 5\n")
    assert machine._gpu_memory(1.0) == (None, None)


def test_the_memory_of_this_machine_is_read() -> None:
    free, whole = machine._machine_memory()
    assert free is not None and whole is not None
    assert 0 < free <= whole
