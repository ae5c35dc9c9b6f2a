"""A student while it learns: what it says of rows of tokens, and what it writes by itself.

A prediction is made of the hidden states of learned tokens alone, and the vocabulary is gone through in chunks:
neither prompts nor padding, nor a large vocabulary, ever make a tensor of rows by tokens by vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from tft.engines.encoder_decoder import EncoderDecoder
from tft.engines.transformers import TransformersEngine
from tft.errors import Problem, StageError, UserError
from tft.student.adapting import read_prefix
from tft.student.models import ask
from tft.student.shortage import AtOnce, in_parts, write_in_parts
from tft.training.lora import merge_while_training, merged
from tft.training.rows import IGNORED, Row, collate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.engines.architecture import Architecture
    from tft.engines.transformers import Sampled
    from tft.ports import Sampling

_CHUNK = 2**24
"""Numbers of positions by vocabulary that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a student expected at the N learned tokens of B rows, laid end to end."""

    rows: Sequence[Row]
    states_NH: torch.Tensor
    """Hidden states that the tokens were expected from."""
    labels_N: torch.Tensor
    """The tokens."""
    row_N: torch.Tensor
    """Which row each belongs to."""
    head: Callable[[torch.Tensor], torch.Tensor]
    """From hidden states to logits."""
    vocabulary: int

    def logprobs(self, temperature: float = 1.0) -> torch.Tensor:
        """Give the log-probability of each learned token, in nats; [N]."""
        return self.fold(partial(_chosen, temperature), self.labels_N)

    def fold(self, function: Callable[..., torch.Tensor], *beside: torch.Tensor) -> torch.Tensor:
        """Make one number a token of the logits, chunk by chunk.

        Args:
            function: of logits [n, V] in float32 at least, and of the same n places of each of ``beside``; gives [n].
            beside: tensors whose first dimension is N.

        Returns:
            [N].
        """
        size = max(1, _CHUNK // self.vocabulary)
        if len(self.states_NH) <= size:
            return self._apply(function, self.states_NH, *beside)
        parts = [
            # Logits of a chunk are forgotten, and made again in the backward pass.
            checkpoint(self._apply, function, *chunk, use_reentrant=False)
            for chunk in zip(*(torch.split(it, size) for it in (self.states_NH, *beside)), strict=True)
        ]
        return torch.cat(parts)

    def _apply(
        self, function: Callable[..., torch.Tensor], states_nH: torch.Tensor, *beside: torch.Tensor
    ) -> torch.Tensor:
        logits_nV = self.head(states_nH)
        return function(logits_nV.to(torch.promote_types(logits_nV.dtype, torch.float32)), *beside)

    def by_row(self, values_N: torch.Tensor) -> torch.Tensor:
        """Add up numbers of tokens by row; [B]."""
        return values_N.new_zeros(len(self.rows)).index_add(0, self.row_N, values_N)

    def spread(self, values_B: torch.Tensor | Sequence[float]) -> torch.Tensor:
        """Give every token the number of its row; [N]."""
        return torch.as_tensor(values_B, dtype=torch.float32, device=self.states_NH.device)[self.row_N]


def _chosen(temperature: float, logits_nV: torch.Tensor, labels_n: torch.Tensor) -> torch.Tensor:
    logits_nV = logits_nV / temperature
    return logits_nV.gather(-1, labels_n[:, None])[:, 0] - logits_nV.logsumexp(-1)


class Learner:
    """A student with its weights in hand.

    Args:
        model: a decoder-only or an encoder-decoder language model, adapted or not; trained in place.
        tokenizer: its tokenizer.
        batch_size: rows that are written side by side.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, batch_size: int = 512
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._base = model.get_base_model() if hasattr(model, "peft_config") else model
        model.eval()
        self._engine = TransformersEngine(self._base, tokenizer, "", batch_size)
        self.at_once = AtOnce()
        self.rescale = _find_rescaling(self._engine.architecture)
        merge_while_training(model)
        model.train()

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    @property
    def tables(self) -> list[torch.nn.Parameter]:
        """What is looked up and not multiplied with: embeddings and prompts; and the output head."""
        looked_up = [module for module in self.model.modules() if isinstance(module, torch.nn.Embedding)]
        # What is only read has no output head.
        found = (*looked_up, self._base.get_output_embeddings())
        return [module.weight for module in found if module is not None]

    @property
    def device(self) -> torch.device:
        """Where it is."""
        device: torch.device = self._base.device
        return device

    def checkpoint_activations(self) -> None:
        """Compute activations again in the backward pass instead of keeping them.

        Raises:
            UserError: with prefix tuning, whose keys and values transformers would leave out.
        """
        if _has_prefix(self.model):
            problem = Problem(
                "prefix tuning cannot compute activations again: its keys and values would be left out",
                key="training.checkpoint_activations",
                value="true",
                remedy="leave it out, or take adapter: prompt",
            )
            raise UserError(problem)
        self._base.activation_checkpointing_enable()
        self._base.enable_input_require_grads()

    def predict(self, rows: Sequence[Row]) -> Predictions:
        """Read rows, and say what was expected at their learned tokens."""
        with self._precision():
            states_BTH, labels_BT, learned_BT = self._expect(rows)
        return Predictions(
            rows=rows,
            states_NH=states_BTH[learned_BT],
            labels_N=labels_BT[learned_BT],
            row_N=learned_BT.nonzero()[:, 0],
            head=self._head,
            vocabulary=self._base.config.get_text_config().vocab_size,
        )

    def _expect(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give hidden states [B, T, H], the tokens that were expected from them, and which of those are learned."""
        architecture = self._engine.architecture
        if isinstance(architecture, EncoderDecoder):
            parted = architecture.part([row.tokens for row in rows], [row.start for row in rows])
            return architecture.states(parted), parted.answers_BT, parted.there_BT
        batch = collate(rows, self.tokenizer.pad_token_id, self.device)
        labels_BT = batch["labels"][:, 1:]
        return self._read(batch["input_ids"], batch["attention_mask"])[:, :-1], labels_BT, labels_BT != IGNORED

    def _read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Give the last hidden states; [B, T, H]."""
        decoder = self._base.get_decoder()
        if self._base is self.model or not self.model.active_peft_config.is_prompt_learning:
            hidden: torch.Tensor = decoder(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
            return hidden
        # What stands before the prompt: keys and values of a prefix, or embeddings.
        rows, width = ids_BT.shape
        before = self.model.get_prompt(rows, max_cache_len=width + self.model.active_peft_config.num_virtual_tokens)
        mask = torch.cat([mask_BT.new_ones(rows, self.model.active_peft_config.num_virtual_tokens), mask_BT], 1)
        if isinstance(before, torch.Tensor):
            whole = torch.cat([before, self._base.get_input_embeddings()(ids_BT)], 1)
            hidden = decoder(inputs_embeds=whole, attention_mask=mask, use_cache=False).last_hidden_state
        else:
            hidden = decoder(input_ids=ids_BT, attention_mask=mask, past_key_values=before).last_hidden_state
        return hidden[:, -width:]

    def _head(self, states_nH: torch.Tensor) -> torch.Tensor:
        with self._precision():
            return self.rescale(self._base.get_output_embeddings()(states_nH))

    def _precision(self) -> Any:
        """On a GPU, compute in bfloat16 while weights and sums stay float32."""
        rounded = self.device.type == "cuda" and torch.get_float32_matmul_precision() != "highest"
        return torch.autocast("cuda", torch.bfloat16) if rounded else nullcontext()

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling, seeds: Sequence[int]) -> list[Sampled]:
        """Go on after prompts, as the student is now; with fewer side by side where memory runs out."""
        with self.answering(), self._precision():
            self._engine.architecture.prefix = read_prefix(self.model)
            go_on = partial(self._engine.sample, prompts, sampling, seeds)
            return write_in_parts(self._engine, go_on, len(prompts), self.at_once)

    def ask(
        self, rows: Sequence[Row], tell: Callable[[Predictions], torch.Tensor], size: int | None = None
    ) -> torch.Tensor:
        """Read rows as the student is now, without learning from them; fewer at once where memory runs out.

        Args:
            rows: where there are none, nothing is told.
            tell: makes numbers of what was expected, for every row or token of a part: [B, …] or [N, …].
            size: rows that are read at once; None means all.

        Returns:
            The numbers of all parts, end to end.
        """

        def read(size: int) -> torch.Tensor:
            starts = range(0, len(rows), size)
            return torch.cat([tell(self.predict(rows[start : start + size])) for start in starts])

        with self.answering():
            # Other workers may have rows, and the weights of all of them.
            if not rows:
                return torch.empty(0)
            said, fitted = in_parts(read, min(len(rows), size or len(rows), self.at_once.read or len(rows)))
        self.at_once.read = fitted or self.at_once.read
        return said

    def write_questions(self, questions: Sequence[str]) -> list[list[int]]:
        """Write questions as tokens, as they are asked, ready for the answer."""
        return self._engine.encode([ask(question) for question in questions])

    def as_it_is(self) -> Learner:
        """Give the student as it is now; it does not learn on."""
        return deepcopy(self)

    def whole(self) -> dict[str, torch.Tensor] | None:
        """Give what is saved of the model where it is not whole here; None where it is."""
        return None

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Leave nothing out by chance, and keep no gradients."""
        self.model.eval()
        try:
            with torch.no_grad(), merged(self.model):
                yield
        finally:
            self.model.train()


def _has_prefix(model: PreTrainedModel | PeftModel) -> bool:
    return hasattr(model, "peft_config") and model.active_peft_config.peft_type in ("PREFIX_TUNING", "CARTRIDGE")


@torch.no_grad()
def _find_rescaling(architecture: Architecture) -> Callable[[torch.Tensor], torch.Tensor]:
    """Find out what a model does with its logits after the head.

    Raises:
        StageError: if nothing that is known fits.
    """
    model = architecture.model
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None) or 1.0
    factors = [getattr(config, name, None) or 1.0 for name in ("logit_scale", "logits_scaling")]
    # The first T5 takes its hidden states so much smaller; BART and its kin add a bias that nobody trains.
    factors.append(config.hidden_size**-0.5)
    bias = getattr(model, "final_logits_bias", 0.0)
    known: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda logits: logits,
        lambda logits: cap * torch.tanh(logits / cap),
        lambda logits: logits + bias,
        *(partial(torch.mul, other=other) for factor in factors for other in (factor, 1 / factor)),
    ]
    hidden, whole = architecture.inside(torch.arange(4, device=model.device)[None])
    plain = model.get_output_embeddings()(hidden)
    # The closest, and not the first that is close: a cap hardly shows where logits are small.
    rescale = min(known, key=lambda it: (it(plain).float() - whole.float()).abs().max().item())
    if torch.allclose(rescale(plain).float(), whole.float(), rtol=1e-3, atol=1e-3):
        return rescale
    raise StageError(f"what {type(model).__name__} does with its logits is not known here, so it cannot be trained")
