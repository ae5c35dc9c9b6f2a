"""A head as transformers keeps one: a sequence classifier, where there is one that says the same.

Those of transformers have one matrix on the state of a row's last token. What the classifier says is compared with what
the student says; a family that does something else in between is refused, as is anything that does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForSequenceClassification

from tft.config.adapters import HeadAdapter, RegressorTask
from tft.engines.architecture import fill
from tft.errors import Problem, UserError
from tft.records import Message
from tft.student.models import open_reader
from tft.student.reading import encode_answered, encode_questions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.student.reading import HeadReader
    from tft.student.ref import StudentRef


def as_classifier(student: StudentRef) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Give a student with a head as a ``AutoModelForSequenceClassification``, with its tokenizer.

    Raises:
        UserError: with the reason why there is none that says the same.
    """
    adapter = student.adapter
    assert isinstance(adapter, HeadAdapter)
    reader = open_reader(student, exact=True)
    if adapter.layers:
        raise _refusal(f"its head has new layers ({adapter.layers}), and those of transformers have none")
    if reader.model.pool != "last":
        raise _refusal(f"it reads pool: {reader.model.pool}, and those of transformers the last token")
    if isinstance(adapter.task, RegressorTask):
        raise _refusal("its numbers are counted from a mean, and those of transformers from nought")
    made = build_classifier(reader)
    if not _agree(made, reader):
        raise _refusal(f"{type(made).__name__} does something else with the same weights")
    return made, reader.tokenizer


def build_classifier(reader: HeadReader) -> PreTrainedModel:
    """Make the sequence classifier of a body's family with the weights of body and head.

    Raises:
        UserError: if that of the family has something else for a head.
    """
    base, head = reader.model.base, reader.model.head
    config = type(base.config).from_dict(base.config.to_dict())
    config.num_labels = head.out.out_features
    if reader.model.labels:
        config.id2label = dict(enumerate(reader.model.labels))
        config.label2id = {label: place for place, label in enumerate(reader.model.labels)}
    config.pad_token_id = reader.tokenizer.pad_token_id
    made = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32).eval()
    if getattr(getattr(made, "score", None), "weight", torch.empty(0)).shape != head.out.weight.shape:
        raise _refusal(f"{type(made).__name__} has no single matrix for a head")
    made.get_submodule(made.base_model_prefix).load_state_dict(base.get_decoder().state_dict())
    made.score.weight.data.copy_(head.out.weight)
    return made


@torch.inference_mode()
def _agree(made: PreTrainedModel, reader: HeadReader) -> bool:
    """Compare on rows of different length, one of them with an end of its own."""
    rows = [
        *encode_questions(["1", "what is 12+34"], reader.tokenizer),
        *encode_answered([(Message("user", "what is 12+34"),)], ["46"], [True], reader.tokenizer),
    ]
    ids_BT, mask_BT = fill(rows, reader.tokenizer.pad_token_id)
    said = made(input_ids=ids_BT, attention_mask=mask_BT).logits
    return torch.allclose(said, reader.read(rows), rtol=1e-3, atol=1e-4)


def _refusal(reason: str) -> UserError:
    remedy = (
        "copy its folder students/<id>/final and read it with this package: "
        "tft.student.models.open_reader(tft.student.saved.read_saved(folder, 'folder'))"
    )
    return UserError(Problem(f"is no sequence classifier of transformers: {reason}", key="STUDENT", remedy=remedy))
