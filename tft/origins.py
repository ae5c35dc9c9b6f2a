"""Where a lesson comes from, in words that hold outside its campaign: which one, who asked, under which licences.

Within its campaign the setting says all that; what is read again in a later one, with another tutor or curriculum,
carries it along in its lineage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tft.records import Lesson


@dataclass(frozen=True, slots=True)
class Origins:
    """What a campaign's setting says of the origin of its lessons."""

    campaign: str
    tutor: str
    tutor_license: str | None
    licenses: dict[str, str | None]
    """Of the curriculum of each skill."""

    @classmethod
    def of(cls, setting: dict[str, Any]) -> Origins:
        """Read a setting; skills may be of curricula of earlier campaigns."""
        known = [*(it["curriculum"] for it in setting.get("before", ())), setting["curriculum"]]
        licenses = {it["name"]: it["license"] for it in known}
        own = setting["curriculum"]["name"]
        return cls(
            setting["campaign"],
            setting["tutor"]["id"],
            setting["tutor"]["license"],
            {it["name"]: licenses.get(it.get("curriculum", own)) for it in setting["skills"]},
        )

    def attribute(self, lesson: Lesson) -> Lesson:
        """Write campaign, asker and licences into a lesson's lineage, unless it comes from an earlier campaign."""
        if lesson.lineage.campaign:
            return lesson
        source = lesson.item.source
        asked_by = self.tutor if source == "tutor" else source
        lineage = replace(lesson.lineage, campaign=self.campaign, asked_by=asked_by, license=self._license(lesson))
        return replace(lesson, lineage=lineage)

    def _license(self, lesson: Lesson) -> str | None:
        """Name the licences of question and answer; what a student wrote has none but those of its weights."""
        if lesson.lineage.row is not None:
            return lesson.lineage.license
        question = self.tutor_license if lesson.item.source == "tutor" else self.licenses.get(lesson.item.skill)
        answer = self.tutor_license if lesson.lineage.source == self.tutor else None
        return ", ".join(dict.fromkeys(it for it in (question, answer) if it)) or None
