"""Tutorial Fine-Tuning: one strong tutor model teaches a few small students, and explains itself."""

__version__ = "0.1.0"
