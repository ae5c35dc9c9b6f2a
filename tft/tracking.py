"""Sends metrics to the trackers a config names, as they come; what tracks never stops a campaign.

What is sent are numbers and the resolved config without what names a place: paths, addresses, variables with keys. No
question, no answer. A tracker that fails once is left out from then on, and the log says so. A run directory is one run
of a tracker, whatever its config is called, and that run goes on when the campaign is continued.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tft.config.tracking import (
    MLflowTracking,
    TensorBoardTracking,
    Tracking,
    TrackioTracking,
    WandbTracking,
)
from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LOG = logging.getLogger(__name__)
_PLACES = frozenset({"cache", "continue_from", "path", "folder", "uri", "url", "address", "key_env"})
"""Keys of a config that name a place, or a variable of this machine."""
_RUN = "tft_run"
"""Tag by which MLflow finds a run again."""


class Sink(Protocol):
    """One tracker."""

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Take metrics of one step."""

    def close(self) -> None:
        """Finish."""


class Trackers:
    """The trackers of one campaign.

    Args:
        configs: which.
        campaign: its name.
        folder: the run directory.
        run: names the run directory among all others.
        values: the resolved config, in plain values.

    Raises:
        PrerequisiteError: if one's package is not installed, or it cannot be opened.
    """

    def __init__(
        self, configs: Sequence[Tracking], campaign: str, folder: Path, run: str, values: Mapping[str, Any]
    ) -> None:
        missing = [it.type for it in configs if find_spec(it.type) is None]
        if missing:
            raise PrerequisiteError(f"tracking lacks packages: pip install 'tutorial-fine-tuning[{','.join(missing)}]'")
        told = _without_places(values)
        self._sinks = [_start(it, campaign, folder, run, told) for it in configs]

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Pass metrics on."""
        for sink in list(self._sinks):
            try:
                sink.log(metrics, cycle)
            except Exception:  # somebody else's code and network, which a campaign must outlive
                _LOG.exception("%s failed and is left out from here on", type(sink).__name__)
                self._sinks.remove(sink)

    def close(self) -> None:
        """Finish all of them."""
        for sink in self._sinks:
            try:
                sink.close()
            except Exception:  # as above
                _LOG.exception("%s could not be closed", type(sink).__name__)


def _without_places(value: Any) -> Any:
    """Leave out what says where something lies, on this machine or another."""
    if isinstance(value, dict):
        kept = {key: it for key, it in value.items() if key not in _PLACES and not _is_place(it)}
        return {key: _without_places(it) for key, it in kept.items()}
    if isinstance(value, list):
        return [_without_places(it) for it in value if not _is_place(it)]
    return value


def _is_place(value: Any) -> bool:
    """Tell paths and addresses from names; a name on the hub has one stroke, and begins with a letter."""
    return isinstance(value, str) and (
        value.startswith(("/", "~", ".", "path:")) or "://" in value or "\\" in value or value.count("/") > 1
    )


def _start(config: Tracking, campaign: str, folder: Path, run: str, values: Mapping[str, Any]) -> Sink:
    try:
        return _open(config, campaign, folder, run, values)
    except Exception as error:  # somebody else's code, before anything was spent
        raise PrerequisiteError(f"tracking: {config.type} could not be opened: {error}") from error


def _open(config: Tracking, campaign: str, folder: Path, run: str, values: Mapping[str, Any]) -> Sink:
    match config:
        case TensorBoardTracking():
            return TensorBoard(Path(config.folder) if config.folder else folder / "tensorboard")
        case WandbTracking():
            return Wandb(config, campaign, folder, run, values)
        case MLflowTracking():
            return MLflow(config, campaign, folder, run, values)
        case TrackioTracking():
            return Trackio(config, campaign, run, values)


class TensorBoard:
    """Writes event files; the step is the cycle."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Write scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, cycle)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


class Wandb:
    """Logs into one run, which is found again when the campaign is continued."""

    def __init__(self, config: WandbTracking, campaign: str, folder: Path, run: str, values: Mapping[str, Any]) -> None:
        import wandb

        # By itself it would also send the command, the machine's name, the repository, and all that is printed.
        quiet = wandb.Settings(console="off", disable_git=True, save_code=False, x_disable_meta=True,
                               x_disable_machine_info=True, x_disable_stats=True)  # fmt: skip
        self._run = wandb.init(
            project=config.project, entity=config.entity, mode=config.mode, name=campaign, id=f"{campaign}-{run}",
            resume="allow", dir=str(folder), config=dict(values), settings=quiet,
        )  # fmt: skip
        self._run.define_metric("*", step_metric="cycle")

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Log one row."""
        self._run.log({**metrics, "cycle": cycle})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflow:
    """Logs into one run of an experiment, found again when the campaign is continued; the step is the cycle."""

    def __init__(
        self, config: MLflowTracking, campaign: str, folder: Path, run: str, values: Mapping[str, Any]
    ) -> None:
        import os

        # By itself it would count who uses it.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(uri)
        found = self._client.get_experiment_by_name(config.experiment)
        experiment = found.experiment_id if found else self._client.create_experiment(config.experiment)
        before = self._client.search_runs([experiment], f"tags.{_RUN} = '{run}'", max_results=1)
        if before:
            self._run = before[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        self._run = self._client.create_run(experiment, run_name=campaign, tags={_RUN: run}).info.run_id
        for name in ("campaign", "seed", "curriculum"):
            if name in values:
                self._client.log_param(self._run, name, values[name])

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Log each metric."""
        for name, value in metrics.items():
            self._client.log_metric(self._run, name.replace(" ", "_"), value, step=cycle)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


class Trackio:
    """Logs into one run, which is found again when the campaign is continued."""

    def __init__(self, config: TrackioTracking, campaign: str, run: str, values: Mapping[str, Any]) -> None:
        import trackio

        self._run: Any = trackio.init(
            project=config.project, name=f"{campaign}-{run}", config=dict(values), resume="allow"
        )

    def log(self, metrics: Mapping[str, float], cycle: int) -> None:
        """Log one row."""
        self._run.log({**metrics, "cycle": cycle})

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
