"""Decoder-only models: one row of tokens, prompt and answer alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from tft.engines.architecture import Reading, fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from tft.engines.architecture import Prefix, Rows, Writing


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
        ids, mask = (it.to(self.model.device) for it in fill(rows, self._pad, left=True))
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
        # By an index, because a slice is a view of all states: for each row of it a CPU copies the frozen output head.
        self._last = ids.new_tensor([-1])

    def next(self) -> torch.Tensor:
        """Give the logits of the next token; [B, V]."""
        logits: torch.Tensor = self._model(
            input_ids=self._ids,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=self._last,
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
