"""How lessons become weights: the objective for each kind of lesson, and how they are trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from tft.config._base import Frozen, Refusal, execution, name_to_type, refuse
from tft.config.optimizers import AdamWConfig, Optimizer

Share = Annotated[float, Field(gt=0)]


class _ObjectiveConfig(Frozen):
    """What all objectives take."""

    rate: Share = 1.0
    """Learning rate of its steps, as a share of that of the student."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes over its lessons; None means those of ``training.epochs`` where lessons are read, and one where the
    student writes answers of its own."""


class SupervisedConfig(_ObjectiveConfig):
    """Cross-entropy on the tokens of the answer; on a tutor's answers this is sequence distillation."""

    type: Literal["supervised"] = "supervised"
    """Says that this is supervised fine-tuning."""


class DistillationConfig(_ObjectiveConfig):
    """Learn the tutor's distribution of the next token, on answers that the student wrote itself.

    Agarwal et al. 2024 (generalised knowledge distillation); with ``sampled``, Lu et al. 2025 (on-policy distillation).
    """

    type: Literal["distillation"] = "distillation"
    """Says that this is token distillation."""
    divergence: Literal["forward_kl", "reverse_kl", "jensen_shannon", "sampled"] = "reverse_kl"
    """What is made small. ``sampled`` estimates the reverse KL on the tokens written, by policy gradient: it asks the
    tutor for nothing but their log-probabilities, and works with another tokenizer."""
    mixture: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of the tutor in the mixture of ``jensen_shannon``."""
    top_k: Annotated[int, Field(ge=1)] | None = 64
    """Tokens a position whose probability the tutor gives; all others become one, the tail. None means all tokens."""
    on_policy: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the answers that the student writes; the others are the tutor's own."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """At which the student writes."""
    steps_a_roll_out: Annotated[int, Field(ge=1)] = 1
    """Optimiser steps on answers that were written at once: the last of them learns from a student that is one step
    fewer than this behind."""

    @model_validator(mode="after")
    def _samples_are_its_own(self) -> DistillationConfig:
        if self.divergence == "sampled" and self.on_policy < 1:
            message = "leaves answers to the tutor, and sampled takes every answer for one that the student drew"
            remedy = "leave it out, or take reverse_kl, which compares distributions and learns from any answer"
            refuse([Refusal(("on_policy",), self.on_policy, message, remedy)])
        return self


_SMOOTHED = ("sigmoid", "robust", "exo_pair")
"""Losses that ``label_smoothing`` acts on."""
_WITH_MARGIN = ("simpo",)
"""Losses that ``margin`` acts on."""


class DPOConfig(_ObjectiveConfig):
    """Direct preference optimisation (Rafailov et al. 2023) and its variants, on pairs of answers."""

    type: Literal["dpo"] = "dpo"
    """Says that this is DPO."""
    loss: Literal[
        "sigmoid", "hinge", "ipo", "robust", "exo_pair", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down",
        "discopop", "sigmoid_norm", "simpo", "orpo",
    ] = "sigmoid"  # fmt: skip
    """Which variant; ``simpo`` and ``orpo`` need no reference."""
    beta: Share = 0.1
    """How strongly the student is held to what it was."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Of ``sigmoid``, ``robust`` and ``exo_pair``: share of pairs that are thought to be the wrong way round."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Of ``simpo``: by how much the chosen answer should lead, in units of beta."""
    supervised: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the cross-entropy on the chosen answer, added to the loss (Pang et al. 2024): without it, both answers
    become less likely where they have long steps in common."""
    rate: Share = 0.1
    """Learning rate of its steps, as a share of that of the student."""

    @model_validator(mode="after")
    def _can_be_smoothed(self) -> DPOConfig:
        if self.loss == "exo_pair" and self.label_smoothing == 0:
            refuse([Refusal(("label_smoothing",), 0.0, "exo_pair is infinite without it", "write 0.001, for example")])
        return self

    @model_validator(mode="after")
    def _has_what_acts(self) -> DPOConfig:
        options = (("label_smoothing", self.label_smoothing, _SMOOTHED), ("margin", self.margin, _WITH_MARGIN))
        refuse(
            Refusal((name,), value, f"does nothing with {self.loss}", f"leave it out, or take {' or '.join(losses)}")
            for name, value, losses in options
            if value and self.loss not in losses
        )
        return self


class KTOConfig(_ObjectiveConfig):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are right or wrong, unpaired."""

    type: Literal["kto"] = "kto"
    """Says that this is KTO."""
    beta: Share = 0.1
    """How strongly the student is held to what it was."""
    right: Share = 1.0
    """Weight of right answers."""
    wrong: Share = 1.0
    """Weight of wrong answers."""
    rate: Share = 0.03
    """Learning rate of its steps, as a share of that of the student."""


class ClassificationConfig(_ObjectiveConfig):
    """Cross-entropy on the label of a question."""

    type: Literal["classification"] = "classification"
    """Says that labels are learned."""


class RegressionConfig(_ObjectiveConfig):
    """Mean squared error of the number that answers a question, in standard deviations of what was taught first."""

    type: Literal["regression"] = "regression"
    """Says that numbers are learned."""


class RewardConfig(_ObjectiveConfig):
    """Reward modelling (Bradley and Terry 1952, Ouyang et al. 2022): the better answer of a pair is worth more."""

    type: Literal["reward"] = "reward"
    """Says that rewards are learned."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much the better answer should lead (Touvron et al. 2023)."""
    centering: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the square of a pair's sum, which keeps rewards near nought (Eisenstein et al. 2023); often 0.01."""


class RewardModel(Frozen):
    """Who gives rewards in practice, instead of the grader."""

    model: str
    """Folder of a student with a reward head: ``runs/<campaign>/students/<id>/final``."""


def _name_to_model(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


class _PolicyConfig(_ObjectiveConfig):
    """What reinforcement learning takes."""

    group: Annotated[int, Field(ge=2, le=256)] = 8
    """Answers a question."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """At which the student writes."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """How far the probability of a token may move from where it was written before it is left alone."""
    clip_above: Annotated[float, Field(gt=0)] | None = None
    """The same upwards; None means the same as ``clip`` (Yu et al. 2025, clip-higher)."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL divergence from the student as it came into the cycle."""
    normalize: Literal["tokens", "rows", "length"] = "tokens"
    """Average over all tokens of a step; over each answer and then over answers (GRPO as published); or divide by the
    longest an answer may be, so that no length is favoured (Liu et al. 2025)."""
    reward: Annotated[
        RewardModel | None, BeforeValidator(_name_to_model, json_schema_input_type=RewardModel | str | None)
    ] = None
    """A reward model instead of the grader; the grader's scores are measured beside it. None means the grader."""
    rate: Share = 0.2
    """Learning rate of its steps, as a share of that of the student."""


class GRPOConfig(_PolicyConfig):
    """Group-relative policy optimisation (Shao et al. 2024): an answer against the others to its question."""

    type: Literal["grpo"] = "grpo"
    """Says that this is GRPO."""
    scale: bool = True
    """Divide by the standard deviation of the group's rewards."""


class RLOOConfig(_PolicyConfig):
    """REINFORCE leave-one-out (Ahmadian et al. 2024): the mean of the other answers is the baseline."""

    type: Literal["rloo"] = "rloo"
    """Says that this is RLOO."""


class PPOConfig(_PolicyConfig):
    """Proximal policy optimisation (Schulman et al. 2017), with a value head and generalised advantages."""

    type: Literal["ppo"] = "ppo"
    """Says that this is PPO."""
    group: Annotated[int, Field(ge=1, le=256)] = 4
    """Answers a question."""
    passes: Annotated[int, Field(ge=1)] = 2
    """Passes over the answers of a roll-out."""
    minibatches: Annotated[int, Field(ge=1)] = 2
    """Optimiser steps a pass."""
    gae: Annotated[float, Field(ge=0, le=1)] = 0.95
    """λ of the advantages: 0 trusts the value head, 1 the reward."""
    discount: Annotated[float, Field(gt=0, le=1)] = 1.0
    """γ of the advantages."""
    value: Share = 0.5
    """Weight of the value head's loss."""


class OtherConfig(_ObjectiveConfig):
    """An objective that a plug-in brings."""

    type: str
    """Its name among the entry points of ``tft.objectives``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What it takes."""


_OURS = (
    "supervised", "distillation", "dpo", "kto", "grpo", "rloo", "ppo", "classification", "regression", "reward",
)  # fmt: skip


_FIT = {
    "answers": ("supervised",),
    "feedback": ("distillation",),
    "preference": ("dpo", "kto"),
    "practice": ("grpo", "rloo", "ppo"),
    "classifier": ("classification",),
    "regressor": ("regression",),
    "reward": ("reward",),
}


def _tag(value: Any) -> str:
    name = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return name if name in _OURS else "other"


AnyObjective = Annotated[
    Annotated[SupervisedConfig, Tag("supervised")]
    | Annotated[DistillationConfig, Tag("distillation")]
    | Annotated[DPOConfig, Tag("dpo")]
    | Annotated[KTOConfig, Tag("kto")]
    | Annotated[GRPOConfig, Tag("grpo")]
    | Annotated[RLOOConfig, Tag("rloo")]
    | Annotated[PPOConfig, Tag("ppo")]
    | Annotated[ClassificationConfig, Tag("classification")]
    | Annotated[RegressionConfig, Tag("regression")]
    | Annotated[RewardConfig, Tag("reward")]
    | Annotated[OtherConfig, Tag("other")],
    Discriminator(_tag),
]
Objective = Annotated[AnyObjective, BeforeValidator(name_to_type, json_schema_input_type=AnyObjective | str)]
"""What a user may write: the name alone, or the name with options."""


class ObjectivesConfig(Frozen):
    """Which objective learns from which kind of lesson; a student with a head has the one of its task for all."""

    answers: Objective = SupervisedConfig()
    """From demonstrations, critiques and replay: answers that the grader passed."""
    feedback: Objective = DistillationConfig()
    """From the tutor's probabilities for the student's own tokens."""
    preference: Objective = DPOConfig()
    """From pairs of answers, ``dpo`` or ``kto``; from answers that are right or wrong alone, ``kto``."""
    practice: Objective = GRPOConfig()
    """From the grader's verdicts on the student's own answers: ``grpo``, ``rloo`` or ``ppo``."""
    classifier: Objective = ClassificationConfig()
    """From references, for heads that name labels."""
    regressor: Objective = RegressionConfig()
    """From references, for heads that name numbers."""
    reward: Objective = RewardConfig()
    """From pairs of answers, for heads that rate them."""

    @property
    def reward_model(self) -> RewardModel | None:
        """What gives rewards in practice; None where the grader does."""
        return getattr(self.practice, "reward", None)

    @model_validator(mode="after")
    def _fit_their_lessons(self) -> ObjectivesConfig:
        refuse(
            Refusal(
                (kind, "type"), objective.type, "cannot learn from lessons of this kind", f"known: {', '.join(fit)}"
            )
            for kind, fit in _FIT.items()
            if (objective := getattr(self, kind)).type in _OURS and objective.type not in fit
        )
        return self


class TrainingConfig(Frozen):
    """How lessons become weights."""

    epochs: Annotated[int, Field(ge=1)] = 4
    """Passes over the lessons of a cycle."""
    min_steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps of a cycle at least: few lessons are read in more passes than ``epochs`` says, until so many are
    made. Not where an objective has ``epochs`` of its own, or the student writes the answers; None means no least."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Rows an optimiser step; pairs count twice."""
    optimizer: Optimizer = AdamWConfig()
    """What moves the weights: ``adamw``, ``adamw_8bit``, ``adafactor``, ``muon`` or ``sgd``, or one with options."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps in which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are scaled down to this norm."""
    precision: Literal["auto", "full", "bf16_products"] = "auto"
    """Matrix products in float32, or rounded to bfloat16 while everything else stays float32. ``auto`` rounds
    where the processor has matrix instructions for it, and on GPUs."""
    objectives: ObjectivesConfig = ObjectivesConfig()
    """The objective for each kind of lesson."""
    classroom: bool = False
    """Train LoRA students of one base together, in one forward and backward pass; each learns what it would learn
    alone, but for the last bit of a sum."""
    micro_batch: Annotated[int, Field(ge=1)] | None = None
    """Rows that are in memory at once; None means all of a step. Halved where memory runs out; the step stays what it
    is, but for the last bit of a sum, and so this is part of the identity."""
    checkpoint_activations: bool = execution(False)
    """Compute activations again in the backward pass instead of keeping them: slower, in less memory."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that train a student together, each on its share of the rows of a step, on a GPU of its own where there
    are any. They learn what one learns, but for the last bit of a sum, and so this is part of the identity."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several workers share a student. ``ddp``: each has all of it. ``fsdp``: weights, gradients and moments lie in
    shards, one a worker, so that larger students fit; slower where they would fit anyway."""

    @model_validator(mode="after")
    def _can_be_shared(self) -> TrainingConfig:
        if self.classroom and self.workers > 1:
            message = "cannot be shared by several workers"
            refuse([Refusal(("classroom",), True, message, "leave out training.workers, or the classroom")])
        if self.parallel == "fsdp" and self.workers == 1:
            message = "parts a student among several workers, and there is one"
            refuse([Refusal(("parallel",), "fsdp", message, "write training.workers: 2, or more")])
        if self.parallel == "fsdp" and self.optimizer.type != "adamw":
            message = "was not tried on weights that lie in shards"
            refuse([Refusal(("optimizer", "type"), self.optimizer.type, message, "take adamw, or parallel: ddp")])
        return self
