"""What all policy gradients here have in common: answers of the student, their rewards, and the clipped loss.

A step learns from answers that the student has just written, so the probability of a token has moved only where
several steps are taken on the same answers (``ppo``). Rewards are the grader's scores, in [0, 1], and an answer that
the length limit cut off has none; or they are those of a reward model, whose differences alone mean something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tft.errors import StageError
from tft.graders import grade_attempts
from tft.training.objective import Setting, Step
from tft.training.rollouts import cut, write
from tft.training.rows import Row, count_learned

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from tft.config.training import GRPOConfig, PPOConfig, RLOOConfig
    from tft.records import Lesson
    from tft.student.reading import HeadReader
    from tft.training.learner import Predictions
    from tft.training.rollouts import Written


@dataclass(frozen=True)
class Played(Row):
    """An answer of the student, and what it was worth."""

    advantages: np.ndarray
    """[T]: by how much each token did better than expected."""
    before: np.ndarray | None
    """[T]: its log-probabilities when it was written; None where no step lies between."""
    reference: np.ndarray | None
    """[T]: its log-probabilities under the student as it came into the cycle; None where nobody holds it there."""


class Policy:
    """A student that is graded.

    Args:
        config: of the objective.
        setting: has student and grader.
    """

    def __init__(self, config: GRPOConfig | RLOOConfig | PPOConfig, setting: Setting) -> None:
        if setting.grader is None:
            raise StageError("practice needs a grader")
        self.config = config
        self.setting = setting
        self._grade = grade_attempts(setting.grader)
        # Only where it is asked for, because it is a second model.
        self._reference = setting.learner.as_it_is() if config.kl else None

    def units(self, lessons: Sequence[Lesson], rng: random.Random, steps: int = 1) -> list[list[Lesson]]:
        """Cut lessons into roll-outs that fill so many steps, anew for each pass."""
        questions = max(1, steps * self.setting.training.batch_size // self.config.group)
        return cut(lessons, questions, self.config.epochs or 1, rng)

    def play(self, lessons: Sequence[Lesson]) -> tuple[list[Row], torch.Tensor]:
        """Let the student answer each question as often as a group is large; give rows and rewards [Q, group]."""
        written = write(lessons, self.setting, self.config.temperature, times=self.config.group)
        # What a grader runs may end differently another time, and all workers must go on alike.
        graded = self.setting.workers.first(
            lambda: [self._grade(it.item, it.text, it.finished).score for it in written]
        )
        rewards = graded
        if self.setting.reward is not None:
            # Told beside each other, so that one sees when only one of them still grows.
            self.setting.note("graded", sum(graded) / len(graded))
            rewards = self._reward(self.setting.reward, written)
        self.setting.note("reward", sum(rewards) / len(rewards))
        return [it.row for it in written], torch.tensor(rewards).view(-1, self.config.group)

    def steps(self, lessons: Sequence[Lesson], advantages: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[Step]:
        """Let the student answer, and make one step of what it wrote; none where it can learn nothing from it.

        Args:
            lessons: what it is asked.
            advantages: from rewards [Q, group] to what each answer did better than expected, [Q, group].
        """
        rows, rewards_QG = self.play(lessons)
        played = self.label(rows, advantages(rewards_QG), differ(rewards_QG))
        if played:
            yield Step(played, self.loss, self.weight(played))

    def _reward(self, model: HeadReader, written: Sequence[Written]) -> list[float]:
        """Ask the reward model; an answer that was cut off is worth no more than the worst that was not."""

        def rate(mine: Sequence[Written]) -> list[float]:
            if not mine:
                return []
            return model.rewards([it.question for it in mine], [it.text for it in mine], [it.finished for it in mine])

        rewards = self.setting.workers.each(written, rate)
        assert self.setting.grader is not None
        whole = [reward for reward, it in zip(rewards, written, strict=True) if it.finished]
        if self.setting.grader.cut_off or not whole:
            return rewards
        least = min(whole)
        return [it if one.finished else min(it, least) for it, one in zip(rewards, written, strict=True)]

    def label(self, rows: Sequence[Row], advantages_QG: torch.Tensor, teaches_Q: torch.Tensor) -> list[Played]:
        """Give every token of an answer the advantage of the answer; leave out the groups that teach nothing."""
        teaches = teaches_Q.repeat_interleave(self.config.group).tolist()
        kept = [row for row, it in zip(rows, teaches, strict=True) if it]
        advantages = advantages_QG[teaches_Q].flatten().tolist()
        return [
            Played(row.tokens, row.start, row.skill, np.full(row.learned, it, np.float32), None, reference)
            for row, it, reference in zip(kept, advantages, self.refer(kept), strict=True)
        ]

    def refer(self, rows: Sequence[Row]) -> Sequence[np.ndarray | None]:
        """Ask the reference about rows, where there is one."""
        reference = self._reference
        if reference is None or not rows:
            return [None] * len(rows)
        return self.setting.workers.each(
            rows,
            lambda mine: by_rows(mine, reference.ask(mine, lambda found: found.logprobs(self.config.temperature))),
        )

    def weight(self, rows: Sequence[Row]) -> float:
        """Say what the loss over rows is divided by."""
        match self.config.normalize:
            case "tokens":
                return count_learned(rows)
            case "rows":
                return len(rows)
            case "length":
                return len(rows) * self.setting.max_tokens

    def loss(self, predictions: Predictions) -> torch.Tensor:
        """Add up the clipped policy loss, and the divergence from the reference.

        L = −Σ min(ρ A, clip(ρ) A) + kl Σ (e^(r−p) − (r − p) − 1), ρ the ratio of the probabilities of a token now and
        when it was written (Schulman et al. 2017, equation 7), p and r its log-probabilities now and under the
        reference (Schulman 2020, estimator k3).
        """
        rows: list[Played] = list(predictions.rows)  # type: ignore[arg-type]
        logprobs_N = predictions.logprobs(self.config.temperature)
        before_N = logprobs_N.detach()
        if any(row.before is not None for row in rows):
            before_N = _flat([row.before for row in rows], logprobs_N)
        losses_N = clipped_loss(
            logprobs_N - before_N, _flat([row.advantages for row in rows], logprobs_N), self.config.clip,
            self.config.clip_above or self.config.clip,
        )  # fmt: skip
        if self._reference is not None:
            apart_N = _flat([row.reference for row in rows], logprobs_N) - logprobs_N
            losses_N = losses_N + self.config.kl * (torch.exp(apart_N) - apart_N - 1)
        if self.config.normalize == "rows":
            losses_N = losses_N / predictions.spread([float(row.learned) for row in rows])
        return losses_N.sum()


def differ(rewards_QG: torch.Tensor) -> torch.Tensor:
    """Say of which questions the answers are not all worth the same; [Q]."""
    return rewards_QG.amax(1) > rewards_QG.amin(1)


def clipped_loss(log_ratio_N: torch.Tensor, advantages_N: torch.Tensor, below: float, above: float) -> torch.Tensor:
    """Measure −min(ρ A, clip(ρ, 1 − below, 1 + above) A) of each token; [N]."""
    ratio_N = torch.exp(log_ratio_N)
    clipped_N = ratio_N.clamp(1 - below, 1 + above)
    return -torch.minimum(ratio_N * advantages_N, clipped_N * advantages_N)


def by_rows(rows: Sequence[Row], values_N: torch.Tensor) -> list[np.ndarray]:
    """Cut numbers of tokens into rows."""
    if not rows:
        return []
    return np.split(values_N.cpu().numpy(), np.cumsum([row.learned for row in rows])[:-1])


def _flat(arrays: Sequence[np.ndarray | None], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([it for it in arrays if it is not None])).to(like)
