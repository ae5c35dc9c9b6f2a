"""How a student is named from stage to stage; without torch, so that a driver can do without."""

from __future__ import annotations

from dataclasses import dataclass

from tft.config.adapters import AnyAdapter


@dataclass(frozen=True, slots=True)
class StudentRef:
    """All it takes to open a student anywhere."""

    id: str
    base_path: str
    """Folder or hub name of the base model."""
    base: str
    """Fingerprint of the base model."""
    adapter: AnyAdapter
    checkpoint_path: str | None = None
    """Folder of what it has learned; None for the base model."""
    digest: str | None = None
    """sha256 of the checkpoint's manifest."""
    chat_template: str | None = None
    """Of its own, instead of the model's; None for the model's."""
