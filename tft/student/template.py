"""Switches of the chat template that a student is asked with: they are set in the template itself, in front of it.

So what is trained, asked, scored, written down and exported has one template, and whoever runs the exported student
asks it as it was examined, without knowing of switches.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tft.engines.encoding import find_template
from tft.fitting import read_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.student.ref import StudentRef


def set_switches(template: str, switches: Mapping[str, Any]) -> str:
    """Set switches in a chat template, so that nobody who writes with it can forget them, or set them otherwise.

    The line break after each is none of the template's own: transformers takes it away.

    >>> set_switches("{{ 'aloud' if enable_thinking }}", {"enable_thinking": False})
    "{% set enable_thinking = False %}\\n{{ 'aloud' if enable_thinking }}"
    """
    return "".join(f"{{% set {name} = {value!r} %}}\n" for name, value in switches.items()) + template


def with_switches(student: StudentRef, switches: Mapping[str, Any]) -> StudentRef:
    """Give a student whose chat template has switches set; without any, the student as it is.

    Args:
        student: as its config names it.
        switches: of its chat template, which has them; see :func:`tft.fitting.refuse_switches`.
    """
    if not switches:
        return student
    template = find_template(student.chat_template) or read_template(student.base_path)
    assert template is not None
    return replace(student, chat_template=set_switches(template, switches))
