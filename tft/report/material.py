"""What a report says of material: how many rows of each file may be taught, and why the others may not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tft.records import Offered, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.ledger import Ledger


def describe_material(ledger: Ledger, setting: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Describe the material of a campaign, file by file; a file that was not graded yet is left out."""
    for described, step in zip(setting.get("material", []), ledger.steps("material"), strict=False):
        offered = load(Offered, step.result)
        trusted = sum(lesson.lineage.trusted for lesson in offered.lessons)
        yield {
            **described,
            "rows": len(offered.lessons) + len(offered.rejections),
            "lessons": len(offered.lessons),
            "trusted": trusted,
            "skills": dict(sorted(Counter(lesson.item.skill for lesson in offered.lessons).items())),
            "rejected": dict(sorted(Counter(it.reason for it in offered.rejections).items())),
            "first_rejected": offered.rejections[0].text if offered.rejections else None,
        }
