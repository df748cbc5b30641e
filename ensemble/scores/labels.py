"""Only another path of the labels of `base_models.inputs`, where the code is."""

from base_models.inputs import clean_labels, encode_labels, fake_column

__all__ = ["clean_labels", "encode_labels", "fake_column"]
