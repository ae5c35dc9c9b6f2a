"""A tutor behind HTTP: the desk its requests come to, and the OpenAI-compatible page they come through."""

from tft.serving.app import Backend, Front, build_app, key_digest
from tft.serving.desk import Asked, Desk

__all__ = ["Asked", "Backend", "Desk", "Front", "build_app", "key_digest"]
