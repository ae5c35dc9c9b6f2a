"""The two ways in which a language model takes a prompt and an answer, so that an engine need not know which it runs.

A decoder-only model goes on with one row of tokens. An encoder-decoder model (T5, BART and their kin) is two halves: an
encoder reads the prompt, in both directions, and a decoder writes the answer, beginning with a token of its own. The
row stays one row for everybody else; here it is parted where the answer starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import DynamicCache

from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    Rows = Sequence[Sequence[int]]
    Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model expected at T places of B rows, and what stands there."""

    logits_BTV: torch.Tensor
    tokens_BT: torch.Tensor
    places: list[slice]
    """Which of the T places are those of each row, from its start on."""


class Writing(Protocol):
    """A batch of prompts, and how they go on."""

    def next(self) -> torch.Tensor:
        """Give the logits of the next token; [B, V]."""

    def go_on(self, tokens_B: torch.Tensor, keep: torch.Tensor) -> None:
        """Take the tokens that were chosen, and leave out the rows that are not among those to keep."""


class Architecture(Protocol):
    """How a model takes prompts and answers."""

    model: PreTrainedModel
    prefix: Prefix | None
    """Keys and values that stand before every prompt, a pair a layer, each [1, heads, P, head size]."""
    in_one_piece: bool
    """Whether prompt and answer are one text to it, so that it expects something at every token of both."""

    def write(self, prompts: Rows) -> Writing:
        """Begin to answer prompts."""

    def read(self, rows: Rows, starts: Sequence[int]) -> Reading:
        """Read rows, and say what was expected from the start of each on."""

    def inside(self, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the last hidden states at tokens, and the logits that the model makes of them."""


def architecture_of(model: PreTrainedModel, pad: int, prefix: Prefix | None = None) -> Architecture:
    """Find out which of the two a model is.

    Args:
        model: the model.
        pad: the token that fills up short rows.
        prefix: what stands before every prompt; an encoder-decoder model can have none.

    Raises:
        PrerequisiteError: if a decoder does not say what it begins with.
    """
    return EncoderDecoder(model, pad) if model.config.is_encoder_decoder else DecoderOnly(model, pad, prefix)


class DecoderOnly:
    """Goes on with one row of tokens. Rows are padded on the left, so that all of them end at once."""

    in_one_piece = True

    def __init__(self, model: PreTrainedModel, pad: int, prefix: Prefix | None = None) -> None:
        self.model = model
        self.prefix = prefix
        self._pad = pad

    def write(self, prompts: Rows) -> Writing:
        """Begin to answer prompts."""
        return _GoingOn(self.model, *self._batch(prompts))

    def read(self, rows: Rows, starts: Sequence[int]) -> Reading:
        """Read rows, and say what was expected from the start of each on; 1 is the first place it can be."""
        ids, cache, mask, positions = self._batch(rows)
        logits = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=False
        ).logits
        end = ids.shape[1] - 1
        places = [slice(end - (len(row) - start), end) for row, start in zip(rows, starts, strict=True)]
        return Reading(logits[:, :-1], ids[:, 1:], places)

    def inside(self, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the last hidden states at tokens, and the logits that the model makes of them."""
        hidden = self.model.get_decoder()(input_ids=ids_BT, use_cache=False).last_hidden_state
        return hidden, self.model(input_ids=ids_BT, use_cache=False).logits

    def _batch(self, rows: Rows) -> tuple[torch.Tensor, DynamicCache | None, torch.Tensor, torch.Tensor]:
        """Give tokens, what stands before them, the mask of both, and the positions of the tokens."""
        ids, mask = (it.to(self.model.device) for it in _fill(rows, self._pad, left=True))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        if self.prefix is None:
            return ids, None, mask, positions
        count = len(rows)
        cache = DynamicCache(config=self.model.config)
        for layer, (keys, values) in enumerate(self.prefix):
            cache.update(keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), layer)
        before = self.prefix[0][0].shape[2]
        return ids, cache, torch.cat([mask.new_ones(count, before), mask], 1), positions + before


class _GoingOn:
    """Rows that a decoder-only model goes on with."""

    def __init__(
        self,
        model: PreTrainedModel,
        ids: torch.Tensor,
        cache: DynamicCache | None,
        mask: torch.Tensor,
        positions: torch.Tensor,
    ) -> None:
        self._model = model
        self._ids, self._mask, self._positions = ids, mask, positions
        self._cache = cache or DynamicCache(config=model.config)

    def next(self) -> torch.Tensor:
        """Give the logits of the next token; [B, V]."""
        logits: torch.Tensor = self._model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]

    def go_on(self, tokens_B: torch.Tensor, keep: torch.Tensor) -> None:
        """Take the tokens that were chosen, and leave out the rows that are not among those to keep."""
        if len(keep) < len(tokens_B):
            self._cache.batch_select_indices(keep)
            self._mask, self._positions, tokens_B = self._mask[keep], self._positions[keep], tokens_B[keep]
        self._ids = tokens_B[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(keep), 1)], 1)
        self._positions = self._positions[:, -1:] + 1


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
        ids, mask = (it.to(self.model.device) for it in _fill(prompts, self._pad))
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
        prompts_BS, mask_BS = _fill([row[:start] for row, start in zip(rows, starts, strict=True)], self._pad)
        given_BT, _ = _fill([[*self._begin, *answer[:-1]] for answer in answers], self._pad)
        answers_BT, there_BT = _fill(answers, self._pad)
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


def _fill(rows: Rows, pad: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill rows up to the longest, on one side; give tokens and mask, both [B, T]."""
    longest = max(len(row) for row in rows)
    short = [longest - len(row) for row in rows]
    if left:
        ids = [[pad] * gap + list(row) for gap, row in zip(short, rows, strict=True)]
        mask = [[0] * gap + [1] * len(row) for gap, row in zip(short, rows, strict=True)]
    else:
        ids = [list(row) + [pad] * gap for gap, row in zip(short, rows, strict=True)]
        mask = [[1] * len(row) + [0] * gap for gap, row in zip(short, rows, strict=True)]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)
