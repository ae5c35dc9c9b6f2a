"""Engines run a model: they generate and they score. One file an engine; the file is named after its ``type``."""
