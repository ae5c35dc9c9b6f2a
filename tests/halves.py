"""Small encoder-decoder models with random weights, as folders that a campaign can name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import processors
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedTokenizerBase,
    T5Config,
    T5ForConditionalGeneration,
)

from tft.config.adapters import FullAdapter
from tft.library import fingerprint_model, shipped
from tft.student import StudentRef

SMALL = {"vocab_size": 66, "d_model": 64, "pad_token_id": 0, "eos_token_id": 1}
T5: dict[str, Any] = {**SMALL, "d_kv": 16, "d_ff": 128, "num_heads": 4, "num_layers": 2, "dropout_rate": 0.0,
                      "decoder_start_token_id": 0}  # fmt: skip
BART: dict[str, Any] = {
    **SMALL, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "dropout": 0.0, "attention_dropout": 0.0, "init_std": 0.1,
    "max_position_embeddings": 128, "bos_token_id": 64, "decoder_start_token_id": 1, "forced_eos_token_id": None,
}  # fmt: skip
FAMILIES = ("t5", "t5 v1.1", "bart")


def build(folder: Path, family: str = "t5", seed: int = 1) -> Path:
    """Write a model and its tokenizer, which has the tokens of abacus, and no chat template."""
    torch.manual_seed(seed)
    model: Any
    match family:
        case "t5":
            model = T5ForConditionalGeneration(T5Config(**T5))
        case "t5 v1.1":
            options = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
            model = T5ForConditionalGeneration(T5Config(**T5, **options))
            # As in every T5 that came after the first one, the head is another matrix than the embeddings.
            model.lm_head.weight = torch.nn.Parameter(0.1 * torch.randn_like(model.lm_head.weight))
            model.config.tie_word_embeddings = False
        case "bart":
            model = BartForConditionalGeneration(BartConfig(**BART))
            model.generation_config.forced_bos_token_id = 64
            model.final_logits_bias.normal_()
    model.save_pretrained(folder)
    tokens(family).save_pretrained(folder)
    return folder


def tokens(family: str) -> PreTrainedTokenizerBase:
    """Make the tokenizer of a family: it puts around a text what that family was pretrained with."""
    tokenizer = AutoTokenizer.from_pretrained(shipped() / "tutors" / "abacus" / "novice-a")
    tokenizer.chat_template = None
    if family == "bart":
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    around = "<s> $A </s>" if family == "bart" else "$A </s>"
    special = [("</s>", 1), ("<s>", 64)] if family == "bart" else [("</s>", 1)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=special)
    return tokenizer


def student(folder: Path) -> StudentRef:
    """Name a student that has learned nothing yet and trains every weight."""
    return StudentRef("tess", str(folder), fingerprint_model(str(folder)), FullAdapter())
