"""MLflow: the record of a study, written and read back, and what its UI shows."""

from edgebench.tracking import views
from edgebench.tracking.analyses import with_filters
from edgebench.tracking.finals import FinalsLog
from edgebench.tracking.firmware import record_firmware
from edgebench.tracking.handover import ExportedRun, ParityFailed, export_run
from edgebench.tracking.lock import Lock, locked
from edgebench.tracking.log import StudyLog
from edgebench.tracking.openings import open_test_split, openings, record_opening
from edgebench.tracking.outbox import END_SECONDS, stores_reached
from edgebench.tracking.pairing import Known, agreed, tracked
from edgebench.tracking.proofs import record_proof, recorded_handovers
from edgebench.tracking.reading import (
    SavedRun,
    best_value,
    curves_of,
    details_of,
    experiment_id_of,
    fetch_onnx,
    fetch_run,
    last_study,
    read_study,
)
from edgebench.tracking.registering import register
from edgebench.tracking.runs import MODEL, MODEL_INT8, reader
from edgebench.tracking.saved import dataset_of, model_of, preprocessing_of
from edgebench.tracking.servers import (
    DATABASES,
    TRACKERS,
    check_address,
    is_database_server,
    patiently,
    reason_of,
    small_pool,
)
from edgebench.tracking.store import absolute, create_store, sqlite_path

__all__ = [
    "DATABASES",
    "END_SECONDS",
    "MODEL",
    "MODEL_INT8",
    "TRACKERS",
    "ExportedRun",
    "FinalsLog",
    "Known",
    "Lock",
    "ParityFailed",
    "SavedRun",
    "StudyLog",
    "absolute",
    "agreed",
    "best_value",
    "check_address",
    "create_store",
    "curves_of",
    "dataset_of",
    "details_of",
    "experiment_id_of",
    "export_run",
    "fetch_onnx",
    "fetch_run",
    "is_database_server",
    "last_study",
    "locked",
    "model_of",
    "open_test_split",
    "openings",
    "patiently",
    "preprocessing_of",
    "read_study",
    "reader",
    "reason_of",
    "record_firmware",
    "record_opening",
    "record_proof",
    "recorded_handovers",
    "register",
    "small_pool",
    "sqlite_path",
    "stores_reached",
    "tracked",
    "views",
    "with_filters",
]
