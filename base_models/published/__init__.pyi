from .catalogue import (
    PublishedModel as PublishedModel,
    published_model as published_model,
    published_models as published_models,
)
from .download import DownloadError as DownloadError
from .fetching import (
    fetch_model as fetch_model,
    model_named as model_named,
    model_path as model_path,
    weights_named as weights_named,
)
