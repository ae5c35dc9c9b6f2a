"""What a user may write: frozen pydantic models that refuse unknown keys. Loads no torch, ray, vllm or transformers."""

from tft.config._base import Frozen
from tft.config.campaign import CampaignConfig
from tft.config.cards import CurriculumCard, TutorCard
from tft.config.reading import read_config
from tft.config.suites import SuiteCard

__all__ = ["CampaignConfig", "CurriculumCard", "Frozen", "SuiteCard", "TutorCard", "read_config"]
