from ._version import __version__ as __version__
from .cascade.lean_engines import lean_engines as lean_engines
from .comparison.compare import compare_strategies as compare_strategies
from .deepfake_ensemble import DeepfakeEnsemble as DeepfakeEnsemble
from .errors import (
    ArtifactError as ArtifactError,
    CheckpointError as CheckpointError,
    FailedDetectorsError as FailedDetectorsError,
    LeakError as LeakError,
    ScoreTableError as ScoreTableError,
    UnscorableVideoError as UnscorableVideoError,
)
from .inspection.scan import scan_video as scan_video
from .inspection.stress import stress_test as stress_test
from .inspection.watch import watch as watch
from .loading import load as load
from .out_of_fold.fitting import out_of_fold_scores as out_of_fold_scores
from .persistence.onnx_members import export_members as export_members
from .pipeline.score_pipeline import ScorePipeline as ScorePipeline
from .scores.files import (
    read_scores as read_scores,
    write_scores as write_scores,
)
from .scores.orientation import invert_scores as invert_scores
