"""MLflow: the record of a study, written and read back, and what its UI shows."""

from edgebench.tracking import views
from edgebench.tracking.analyses import with_analyses
from edgebench.tracking.finals import FinalsLog
from edgebench.tracking.log import StudyLog
from edgebench.tracking.openings import open_test_split, openings, record_opening
from edgebench.tracking.reading import (
    SavedRun,
    details_of,
    experiment_id_of,
    fetch_onnx,
    fetch_run,
    last_study,
    read_study,
)
from edgebench.tracking.runs import MODEL, MODEL_INT8, reader
from edgebench.tracking.store import create_store, sqlite_path

__all__ = [
    "MODEL",
    "MODEL_INT8",
    "FinalsLog",
    "SavedRun",
    "StudyLog",
    "create_store",
    "details_of",
    "experiment_id_of",
    "fetch_onnx",
    "fetch_run",
    "last_study",
    "open_test_split",
    "openings",
    "read_study",
    "reader",
    "record_opening",
    "sqlite_path",
    "views",
    "with_analyses",
]
