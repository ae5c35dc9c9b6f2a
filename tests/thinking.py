"""The student that ships with a chat template in the manner of Qwen3: unless it is told not to, it may think aloud."""

from __future__ import annotations

import shutil
from pathlib import Path

NOTHING = "<think>\n\n</think>\n\n"
"""What it thought before an answer that it gives at once."""
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}A"
    "{% if loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}Q{{ message['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
QUIET = {"enable_thinking": False}


def build_thinker(folder: Path, novice: Path) -> Path:
    """Write the student with this template into a folder."""
    shutil.copytree(novice, folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    return folder
