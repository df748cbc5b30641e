from .augmentation.augment import Augmentation as Augmentation
from .augmentation.pseudo_fakes import PseudoFakes as PseudoFakes
from .batch.detector_scores import score_table as score_table
from .batch.run import BatchSummary as BatchSummary
from .detectors.bases.video import (
    VideoDetector as VideoDetector,
    ViewDetector as ViewDetector,
)
from .detectors.by_name import (
    detector_names as detector_names,
    make_detector as make_detector,
)
from .detectors.callable_detector import CallableDetector as CallableDetector
from .detectors.compression_router import CompressionRouter as CompressionRouter
from .detectors.feature_path import FeaturePathDetector as FeaturePathDetector
from .detectors.flicker import FlickerDetector as FlickerDetector
from .detectors.frame import FrameDetector as FrameDetector
from .detectors.frequency import FrequencyDetector as FrequencyDetector
from .detectors.geometry import GeometryDetector as GeometryDetector
from .detectors.lstm import LSTMDetector as LSTMDetector
from .detectors.prefit import (
    PrefitDetector as PrefitDetector,
    load_checkpoint as load_checkpoint,
)
from .detectors.torch_detector import TorchDetector as TorchDetector
from .errors import (
    ArtifactError as ArtifactError,
    CheckpointError as CheckpointError,
    DeepfakeEnsembleWarning as DeepfakeEnsembleWarning,
    DivergedError as DivergedError,
    NoFaceError as NoFaceError,
    ScoreTableError as ScoreTableError,
    SlowFitWarning as SlowFitWarning,
    UnscorableVideoError as UnscorableVideoError,
    VideoReadError as VideoReadError,
)
from .export.onnx import export_onnx as export_onnx
from .export.training_curves import plot_curves as plot_curves
from .faces.dlib_finder import DlibFaceFinder as DlibFaceFinder
from .faces.face import (
    Face as Face,
    FaceFinder as FaceFinder,
)
from .faces.finders import (
    HaarFaceFinder as HaarFaceFinder,
    YuNetFaceFinder as YuNetFaceFinder,
)
from .limits import (
    Limits as Limits,
    reading_limits as reading_limits,
)
from .runtime.caches import clear_caches as clear_caches
from .runtime.clusters.connecting import cluster as cluster
from .scoring.pooling import pool_scores as pool_scores
from .scoring.together import score_videos as score_videos
from .store.store import Store as Store
from .training.recipe import TrainingRecipe as TrainingRecipe
from .video.paths import list_videos as list_videos
from .video.quality import estimate_qp as estimate_qp
from .video.reading import (
    iter_frames as iter_frames,
    probe_video as probe_video,
    sample_frames as sample_frames,
)
from .video.writing import write_video as write_video
from .views.spec import ViewRecipe as ViewRecipe
from .views.view import View as View
