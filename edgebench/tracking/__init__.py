"""MLflow: the record of a study, written and read back, and what its UI shows."""

from edgebench.tracking import views
from edgebench.tracking.analyses import with_analyses
from edgebench.tracking.store import (
    MODEL,
    MODEL_INT8,
    STUDY,
    SavedRun,
    StudyLog,
    create_store,
    experiment_id_of,
    fetch_onnx,
    fetch_run,
    read_study,
    sqlite_path,
)

__all__ = [
    "MODEL",
    "MODEL_INT8",
    "STUDY",
    "SavedRun",
    "StudyLog",
    "create_store",
    "experiment_id_of",
    "fetch_onnx",
    "fetch_run",
    "read_study",
    "sqlite_path",
    "views",
    "with_analyses",
]
