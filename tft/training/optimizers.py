"""The optimiser of a student: of torch, or of bitsandbytes; one, or two that share the weights.

Left out on purpose: optimisers that keep their numbers in another memory, which need a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tft.config.optimizers import AdafactorConfig, AdamW8bitConfig, AdamWConfig, MuonConfig, SGDConfig
from tft.errors import PrerequisiteError
from tft.training.gradients import alike, placed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tft.config.optimizers import AnyOptimizer

_PEAKS = {"muon": (3.0, 3.0), "adafactor": (3.0, 100.0), "sgd": (30.0, 30.0)}


def peak_of(optimizer: str, adapter: str) -> float:
    """Give the peak learning rate of a student, where its config names none, as a share of that of AdamW.

    The best of steps of about three, on the embedded students with all weights and with LoRA (width 128, 300 lessons,
    six passes); for other widths it is a guess. Adafactor's rates are shares of a weight's size, and those of LoRA
    begin at nought.

    >>> peak_of("adamw", "full"), peak_of("adafactor", "lora")
    (1.0, 100.0)
    """
    full, added = _PEAKS.get(optimizer, (1.0, 1.0))
    return full if adapter == "full" else added


class Optimizers:
    """Moves weights by their gradients.

    Args:
        config: which optimiser.
        weights: what is trained.
        tables: those of them that are looked up and not multiplied with: embeddings, prompts; and the output head.
        decay: decoupled weight decay; of ``sgd``, that of the gradient.

    Raises:
        PrerequisiteError: if bitsandbytes is asked for and not installed.
    """

    def __init__(
        self, config: AnyOptimizer, weights: Sequence[torch.nn.Parameter], tables: Iterable[torch.nn.Parameter],
        decay: float,
    ) -> None:  # fmt: skip
        self._members = _make(config, list(weights), {id(table) for table in tables}, decay)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps."""
        for member in self._members:
            for group in member.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """Move the weights, and forget the gradients."""
        for member in self._members:
            member.step()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for member in self._members:
            member.zero_grad()

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Give all it keeps, by name: tensors, in shards where the weights are, and plain numbers."""
        tensors: dict[str, torch.Tensor] = {}
        numbers: dict[str, Any] = {}
        for member, number, weight in self._listed():
            for name, value in member.state.get(weight, {}).items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{number}.{name}"] = value
                else:
                    numbers[f"{number}.{name}"] = value
        return tensors, numbers

    def restore(self, kept: dict[str, Any]) -> None:
        """Take up what it kept: tensors and numbers."""
        by_weight: dict[int, dict[str, Any]] = {}
        for key, value in kept.items():
            place, name = key.split(".")
            by_weight.setdefault(int(place), {})[name] = value
        for member, number, weight in self._listed():
            if number in by_weight:
                member.state[weight] = {
                    name: placed(it, weight) if isinstance(it, torch.Tensor) and it.shape == weight.shape else it
                    for name, it in by_weight[number].items()
                }
        for member in self._members:
            # It knows what belongs on which device.
            member.load_state_dict(member.state_dict())

    def _listed(self) -> list[tuple[torch.optim.Optimizer, int, torch.nn.Parameter]]:
        groups = [(member, group["params"]) for member in self._members for group in member.param_groups]
        every = [(member, weight) for member, weights in groups for weight in weights]
        return [(member, number, weight) for number, (member, weight) in enumerate(every)]


def _make(
    config: AnyOptimizer, weights: list[torch.nn.Parameter], tables: set[int], decay: float
) -> list[torch.optim.Optimizer]:
    match config:
        case AdamWConfig():
            return [_adamw(weights, config.betas, decay)]
        case AdamW8bitConfig():
            return [_bitsandbytes().optim.AdamW8bit(weights, betas=config.betas, weight_decay=decay)]
        case AdafactorConfig():
            return [torch.optim.Adafactor(weights, weight_decay=decay)]
        case SGDConfig():
            return [torch.optim.SGD(weights, momentum=config.momentum, weight_decay=decay, fused=True)]
        case MuonConfig():
            matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in tables]
            known = set(map(id, matrices))
            others = [weight for weight in weights if id(weight) not in known]
            made: list[torch.optim.Optimizer] = []
            if matrices:
                # Steps as long as those of AdamW, so that its learning rates serve both (Liu et al. 2025, section 2.2).
                scale = "match_rms_adamw"
                muon = torch.optim.Muon(matrices, weight_decay=decay, momentum=config.momentum, adjust_lr_fn=scale)
                made.append(muon)
            return [*made, _adamw(others, config.betas, decay)] if others else made


def _adamw(weights: list[torch.nn.Parameter], betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    groups = [{"params": group} for group in alike(weights)]
    return torch.optim.AdamW(groups, betas=betas, weight_decay=decay, fused=True)


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise PrerequisiteError(
            "training.optimizer: adamw_8bit needs bitsandbytes, which is not installed: install the extra "
            "[qlora], or take adafactor, which keeps less still"
        ) from error
    return bitsandbytes
