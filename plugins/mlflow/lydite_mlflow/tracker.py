"""A run as a run of MLflow."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from lydite import RunInfo, RunResult, StepReport
from lydite.tracking import completion_columns, completion_rows, figures_of, flat, is_due, remember_id, remembered_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARAMS: Final = 100  # that MLflow takes in one call
_PARAM_LENGTH: Final = 6000
_OWN_SETTINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it counts its users from each import, and nobody asked for that
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is away holds a step up for seconds, not for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # it tells of its database at every start, in the middle of the run
}
"""Of the environment, where it does not say otherwise."""


class MLflow:
    """Logs figures, the configuration as parameters, configuration, manifest and completions as artifacts.

    `tracking_uri` is a server or a database as MLflow writes it; by default the environment's MLFLOW_TRACKING_URI, and
    without that `mlflow.db` beside the run's folder, for all runs there. `experiment` groups runs, and `name` is the
    run's by default. `completions` of them become an artifact at the first step, every `completions_every` steps and
    the last.
    """

    def __init__(
        self,
        *,
        tracking_uri: str | None = None,
        experiment: str = "lydite",
        name: str | None = None,
        completions: Annotated[int, Field(ge=0)] = 8,
        completions_every: Annotated[int, Field(ge=1)] = 10,
    ) -> None:
        self._uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._experiment = experiment
        self._name = name
        self._completions = completions
        self._completions_every = completions_every
        self._run: RunInfo | None = None
        self._client: MlflowClient | None = None
        self._id = ""
        self._status = "FAILED"  # until the run has ended well

    def start(self, run: RunInfo) -> None:
        """Opens the run, or goes on with the one that the run's folder names."""
        for name, value in _OWN_SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()  # once more, by the settings above, should it have been imported before
        self._run = run
        beside = Path(run.folder).resolve().parent
        self._client = MlflowClient(self._uri or f"sqlite:///{beside / 'mlflow.db'}")
        known = remembered_id(run, "mlflow")
        if known is not None:
            self._id = known
            self._client.update_run(known, status="RUNNING")
            return
        artifacts = (beside / "mlflow-artifacts").as_uri() if self._uri is None else None
        experiment = self._experiment_id(artifacts)
        self._id = self._client.create_run(experiment, run_name=self._name or run.name).info.run_id
        remember_id(run, "mlflow", self._id)
        self._log_params(run.config)
        for file, content in (("config.json", run.config), ("manifest.json", run.manifest)):
            self._client.log_text(self._id, json.dumps(content, indent=2, ensure_ascii=False), file)

    def step(self, report: StepReport) -> None:
        """Logs the step's figures in one call, and completions where they are due."""
        from mlflow.entities import Metric

        assert self._run is not None
        assert self._client is not None
        now = int(time.time() * 1000)
        metrics = [Metric(_allowed(name), value, now, report.step) for name, value in figures_of(report).items()]
        self._client.log_batch(self._id, metrics=metrics)
        if self._completions and is_due(report, self._completions_every):
            columns, rows = completion_columns(self._run), completion_rows(self._run, report, self._completions)
            content = {"columns": columns, "data": rows}
            file = f"completions/step-{report.step:06d}.json"
            self._client.log_text(self._id, json.dumps(content, indent=2, ensure_ascii=False), file)
        if report.divergence is not None and report.heldout is not None:
            self._client.set_tag(self._id, "lydite.divergence", f"step {report.step}: {report.divergence}")

    def finish(self, result: RunResult) -> None:
        """Adds the summary."""
        assert self._client is not None
        summary = json.dumps(result.summary, indent=2, ensure_ascii=False)
        self._client.log_text(self._id, summary, "summary.json")
        self._client.set_tag(self._id, "lydite.stopped", str(result.summary.get("stopped")))
        self._status = "FINISHED"

    def close(self) -> None:
        """Ends the run; as a failed one where it did not end well."""
        client, self._client = self._client, None
        if client is not None and self._id:
            client.set_terminated(self._id, self._status)

    def _experiment_id(self, artifacts: str | None) -> str:
        assert self._client is not None
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._experiment, artifact_location=artifacts))

    def _log_params(self, config: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        assert self._client is not None
        given = [(name, value) for name, value in flat(config) if value is not None]
        params = [Param(_allowed(name), _text(value)[:_PARAM_LENGTH]) for name, value in given]
        for start in range(0, len(params), _PARAMS):
            self._client.log_batch(self._id, params=params[start : start + _PARAMS])


def _allowed(name: str) -> str:
    """The name with what MLflow does not take in one replaced."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
