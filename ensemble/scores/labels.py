"""Labels: from whatever names the two classes carry to 0 (real) and 1 (fake)."""

from base_models.inputs import clean_labels, encode_labels, fake_column

__all__ = ["clean_labels", "encode_labels", "fake_column"]
