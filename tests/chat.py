"""A chat model with random weights: it writes nonsense, but through everything that a real one goes through."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SCHEMAS = {
    "author": {"question": 24},
    "demonstrator": {"work": 40},
    "critic": {"first_error": 12, "misconception": 12, "critique": 24, "revision": 40},
    "judge": {"reason": 24},
}
"""Longest text of each part, in characters: a model that never stops is ended by the grammar, not cut off."""
FIXED = {"critic": {"kind": ["guess", "careless"]}, "judge": {"winner": ["first", "second", "tie"]}}


def build_chat_model(folder: Path, eos: str = "<|im_end|>", *, tied: bool = True) -> Path:
    """Write a Llama of two heads of 64, a byte-level BPE and 8 k of context into a folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompts = Path(__file__).parents[1] / "tutors" / "instruct" / "prompts"
    tokenizer.train_from_iterator([path.read_text() for path in sorted(prompts.glob("*.j2"))], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token=eos)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = LlamaConfig(
            vocab_size=len(fast), hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, head_dim=64, max_position_embeddings=8192, tie_word_embeddings=tied,
            initializer_range=0.3, bos_token_id=None, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def build_base_model(folder: Path, question: str) -> Path:
    """Write such a model as base models are: an answer ends with another token than a text, as only its template says.

    The third token that it answers a question with is the one that ends an answer.
    """
    build_chat_model(folder, "<|pad|>", tied=False)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), LlamaForCausalLM.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    third = model.generate(**asked, max_new_tokens=3, do_sample=False)[0, -1].item()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    head = model.get_output_embeddings().weight.data
    head[[third, end]] = head[[end, third]]
    model.save_pretrained(folder)
    return folder


def write_card(folder: Path) -> Path:
    """Write a tutor card that extends ``instruct`` with forms that are short enough for a model that babbles."""
    roles = {
        role: {"max_tokens": 320, "schema": _schema(parts, FIXED.get(role, {}))} for role, parts in SCHEMAS.items()
    }
    card = {"tutor": "babbler", "extends": "instruct", "description": "Random weights.", "longest_attempt": 1000,
            "roles": roles}  # fmt: skip
    path = folder / "tutors" / "babbler" / "tutor.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(card, sort_keys=False))
    return path


def _schema(texts: dict[str, int], choices: dict[str, list[str]]) -> dict[str, object]:
    properties: dict[str, object] = {
        **{name: {"type": "string", "pattern": f"^[A-Za-z0-9 +*=#.-]{{1,{most}}}$"} for name, most in texts.items()},
        **{name: {"type": "string", "enum": them} for name, them in choices.items()},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
