"""Checks the material a config names: where it lies, whose it is, and what its first rows look like.

Left out on purpose: what the grader says, which may take long, and data sets on the hub, which are read when the
campaign begins.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.errors import Problem, UserError
from tft.material import HeldOut, Setting, read_material, refuse_unread, refuse_verdicts
from tft.material.reading import find_files

if TYPE_CHECKING:
    from tft.config.data import MaterialConfig
    from tft.library import Library
    from tft.material import Material
    from tft.ports import ItemSource
    from tft.validation.content import Content
    from tft.validation.draft import Draft

_ROWS = 500
_BYTES = 8_000_000
"""Of a file that can only be read whole."""


def check_material(
    draft: Draft, library: Library, content: Content, source: ItemSource, problems: list[Problem]
) -> None:
    """Look at the first rows of all material, and say what became of them."""
    items = {item for held in content.held.values() for item in held}
    held_out = HeldOut(items, {item.fingerprint for item in items})
    setting, beside = Setting(source, content.skills, held_out), library.beside or Path()
    for place, config in enumerate(draft.config.material):
        key = f"material.{place}"
        try:
            found = _look(config, key, beside, setting)
            if found is not None:
                refuse_verdicts(draft.config.training.objectives.preference.type, [found])
            # Further down a file that is only looked at there may be other rows.
            if found is not None and draft.whole and found.rows < _ROWS:
                refuse_unread(draft.config.students, found, key)
        except UserError as error:
            problems += [replace(it, file=it.file or draft.file) for it in error.problems]
        except Exception as error:  # the user's own code, whatever it raises
            remedy = "classify() gives None for what the curriculum does not know, and fingerprint() takes any text"
            message = f"the item source {content.items_path} raised {error!r} on a row"
            problems.append(Problem(message, draft.file, f"{key}.path", config.address, remedy))
        else:
            content.material[config.address] = _describe(config, found, beside)


def _look(config: MaterialConfig, key: str, beside: Path, setting: Setting) -> Material | None:
    found = find_files(config, beside, key)
    large = found is not None and any(it.suffix.lower() == ".json" and it.stat().st_size > _BYTES for it in found[1])
    return None if large else read_material(config, key, beside, setting, _ROWS)


def _describe(config: MaterialConfig, found: Material | None, beside: Path) -> dict[str, Any]:
    if found is None:
        where = config.address if find_files(config, beside, "") is not None else f"hub:{config.hub}"
        return {"looked_at": f"nothing: {where} is read when the campaign begins"}
    rejections = found.rejections
    return {
        "looked_at": f"the first {_ROWS} rows" if found.rows == _ROWS else f"all {found.rows} rows",
        "lessons": len(found.lessons),
        "kinds": dict(Counter(it.kind for it in found.lessons)),
        "skills": dict(Counter(it.item.skill for it in found.lessons)),
        "trusted": sum(it.lineage.trusted for it in found.lessons),
        "rejected": dict(Counter(it.reason for it in rejections)),
        "first_rejected": rejections[0].text if rejections else None,
    }
