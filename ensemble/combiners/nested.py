"""Combiners of combiners, which see the scores as they are in the table."""

from ensemble.combiners.base import Combiner
from ensemble.combiners.parts.detection import DETECT, from_p_fake


class Nested(Combiner):
    """A combiner whose inner combiners see the scores as they are in the table.

    A subclass returns from `_scale_name` what `common_scale` says of the combiners it
    will fit, or `table_scale` where it has a `scale` itself, and from `_inner` one of
    those it has fitted. With "detect", "rank" and "standard" they see columns that are
    within 0 to 1 already.
    """

    def _neutral(self):
        return self._inner()._neutral_in_table()

    def _neutral_in_table(self):
        return from_p_fake(self._maps(), self._to_table_order(self._neutral()))

    def _maps_columns(self, scale):
        return scale in (DETECT, "rank", "standard")
