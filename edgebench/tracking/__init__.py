"""MLflow: the record of a study, written and read back, and what its UI shows."""

from edgebench.tracking import views
from edgebench.tracking.analyses import with_analyses
from edgebench.tracking.handover import ExportedRun, ParityFailed, export_run
from edgebench.tracking.proofs import record_proof
from edgebench.tracking.saved import dataset_of, model_of, preprocessing_of
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
    "ExportedRun",
    "ParityFailed",
    "SavedRun",
    "StudyLog",
    "create_store",
    "dataset_of",
    "experiment_id_of",
    "export_run",
    "fetch_onnx",
    "fetch_run",
    "model_of",
    "preprocessing_of",
    "read_study",
    "record_proof",
    "sqlite_path",
    "views",
    "with_analyses",
]
