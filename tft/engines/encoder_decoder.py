"""Encoder-decoder models: T5, BART and their kin.

The encoder reads the prompt, in both directions; the decoder writes the answer, beginning with a token of its own. A
row is parted where its answer starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tft.engines.architecture import Reading, fill
from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from tft.engines.architecture import Prefix, Rows, Writing


@dataclass(frozen=True, slots=True)
class Parted:
    """B rows parted where their answers start, padded on the right: prompts of S tokens, answers of T."""

    prompts_BS: torch.Tensor
    mask_BS: torch.Tensor
    given_BT: torch.Tensor
    """What the decoder reads: what it begins with, one token or more, and the answer but for its last."""
    answers_BT: torch.Tensor
    there_BT: torch.Tensor
    """Where there are tokens."""


class EncoderDecoder:
    """Reads the prompt with one half, and writes the answer with the other.

    The decoder begins with the token it was made to start with, and where a model's answers all begin with one more,
    such as BART's ``<s>`` or a language, with that: ``forced_bos_token_id`` of its generation config.
    """

    in_one_piece = False

    def __init__(self, model: PreTrainedModel, pad: int) -> None:
        self.model = model
        self.prefix: Prefix | None = None
        self._pad = pad
        config = model.generation_config
        start = config.decoder_start_token_id if config.decoder_start_token_id is not None else config.bos_token_id
        if start is None:
            raise PrerequisiteError(
                f"{model.name_or_path or type(model).__name__} does not say which token its decoder begins with: set "
                "decoder_start_token_id in its generation_config.json; T5 begins with the one it is padded with"
            )
        self._begin = [start] if config.forced_bos_token_id is None else [start, config.forced_bos_token_id]

    def write(self, prompts: Rows) -> Writing:
        """Begin to answer prompts."""
        ids, mask = (it.to(self.model.device) for it in fill(prompts, self._pad))
        return _Answering(self.model, ids, mask, self._begin)

    def read(self, rows: Rows, starts: Sequence[int]) -> Reading:
        """Read rows, and say what was expected of each from where its answer starts."""
        it = self.part(rows, starts)
        logits = self.model(
            input_ids=it.prompts_BS, attention_mask=it.mask_BS, decoder_input_ids=it.given_BT, use_cache=False
        ).logits
        places = [slice(0, len(row) - start) for row, start in zip(rows, starts, strict=True)]
        return Reading(self._after_begin(logits, it), it.answers_BT, places)

    def inside(self, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the last hidden states at tokens of an answer, and the logits that the model makes of them."""
        read = self.model.get_encoder()(input_ids=ids_BT).last_hidden_state
        hidden = self.model.get_decoder()(input_ids=ids_BT, encoder_hidden_states=read, use_cache=False)
        return hidden.last_hidden_state, self.model(input_ids=ids_BT, decoder_input_ids=ids_BT, use_cache=False).logits

    def states(self, parted: Parted) -> torch.Tensor:
        """Give the last hidden states that the answers are expected from; [B, T, H]."""
        read = self.model.get_encoder()(input_ids=parted.prompts_BS, attention_mask=parted.mask_BS)
        # The decoder looks back only, so it never sees what its rows are filled up with.
        hidden: torch.Tensor = self.model.get_decoder()(
            input_ids=parted.given_BT,
            encoder_hidden_states=read.last_hidden_state,
            encoder_attention_mask=parted.mask_BS,
            use_cache=False,
        ).last_hidden_state
        return self._after_begin(hidden, parted)

    def part(self, rows: Rows, starts: Sequence[int]) -> Parted:
        """Part rows where their answers start."""
        answers = [row[start:] for row, start in zip(rows, starts, strict=True)]
        prompts_BS, mask_BS = fill([row[:start] for row, start in zip(rows, starts, strict=True)], self._pad)
        given_BT, _ = fill([[*self._begin, *answer[:-1]] for answer in answers], self._pad)
        answers_BT, there_BT = fill(answers, self._pad)
        device = self.model.device
        return Parted(*(it.to(device) for it in (prompts_BS, mask_BS, given_BT, answers_BT, there_BT.bool())))

    def _after_begin(self, said: torch.Tensor, parted: Parted) -> torch.Tensor:
        before = len(self._begin) - 1
        return said[:, before : before + parted.answers_BT.shape[1]]


class _Answering:
    """Prompts that an encoder has read, and answers that a decoder writes."""

    def __init__(self, model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor, begin: Sequence[int]) -> None:
        self._model = model
        self._mask = mask
        self._read = model.get_encoder()(input_ids=ids, attention_mask=mask)
        self._ids = torch.tensor(begin, device=ids.device).expand(len(ids), -1)
        self._cache: Any = None

    def next(self) -> torch.Tensor:
        """Give the logits of the next token; [B, V]."""
        found = self._model(
            encoder_outputs=self._read,
            attention_mask=self._mask,
            decoder_input_ids=self._ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = found.past_key_values
        logits: torch.Tensor = found.logits
        return logits[:, -1]

    def go_on(self, tokens_B: torch.Tensor, keep: torch.Tensor) -> None:
        """Take the tokens that were chosen, and leave out the rows that are not among those to keep."""
        if len(keep) < len(tokens_B):
            self._cache.batch_select_indices(keep)
            self._read.last_hidden_state = self._read.last_hidden_state[keep]
            self._mask, tokens_B = self._mask[keep], tokens_B[keep]
        self._ids = tokens_B[:, None]
