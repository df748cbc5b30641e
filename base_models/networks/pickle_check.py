"""Goes through a pickle without making what is in it, and refuses what would hurt.

Pickles are small programs. Some of a few bytes have the unpickler reserve gigabytes, or
compute for hours: numbers of places far beyond those that are used, tuples of tuples
of tuples as keys, whose every look-up walks through all of them.
"""

from __future__ import annotations

import pickle
import pickletools
from typing import IO, Any

_MOST_STEPS = 5_000_000  # a step of a byte may make an object of 64
_MOST_WORK = 100_000_000  # values that are walked through for keys
_DEEPEST = 1000
_MOST_KINDS = 10_000  # classes
_FILLS = {  # a container that lies deeper in the stack: how many values it takes
    "APPEND": 1, "SETITEM": 2, "BUILD": 0, "APPENDS": -1, "SETITEMS": -1,
    "ADDITEMS": -1,
}  # fmt: skip
_KINDS = ("GLOBAL", "STACK_GLOBAL", "INST")
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")


def check_pickle(stream: IO[bytes] | Any) -> None:
    """Read one pickle to its end; nothing of it is made.

    Parameters
    ----------
    stream : file or mmap
        Must not reserve memory for more than it holds when it is read: a BytesIO or a
        mapped file, and no plain file.

    Raises
    ------
    pickle.UnpicklingError
        If it is damaged, or would take more than any checkpoint does.

    Examples
    --------
    >>> import io
    >>> from base_models.networks.pickle_check import check_pickle
    >>> check_pickle(io.BytesIO(pickle.dumps({"weight": [1.0, 2.0]})))
    >>> check_pickle(io.BytesIO(b"]r\\xff\\xff\\xff\\x7f."))
    Traceback (most recent call last):
    _pickle.UnpicklingError: step 2 keeps a value as number 2,147,483,647
    """
    walk = _Walk()
    try:
        for operation, argument, _ in pickletools.genops(stream):
            walk.step(operation, argument)
    except (ValueError, IndexError, KeyError) as error:
        raise pickle.UnpicklingError(f"a damaged pickle ({error})") from error


class _Walk:
    """The unpickler's stack, of sizes: (values inside, depth) in place of each value.

    A list or dict is one object wherever it is, so that it grows everywhere.
    """

    def __init__(self):
        self.stack, self.marks, self.kept = [], [], {}
        self.n_steps = self.work = self.n_kinds = 0

    def step(self, operation, argument):
        name = operation.name
        self.n_steps += 1
        self.n_kinds += name in _KINDS
        if self.n_steps > _MOST_STEPS or self.n_kinds > _MOST_KINDS:
            raise pickle.UnpicklingError(
                f"it has more than {_MOST_STEPS:,} steps or {_MOST_KINDS:,} classes"
            )
        if name in _PUTS:
            number = len(self.kept) if argument is None else argument
            if number > self.n_steps:
                raise pickle.UnpicklingError(
                    f"step {self.n_steps} keeps a value as number {number:,}"
                )
            self.kept[number] = self._top()
        elif name in _GETS:
            self.stack.append(self.kept[argument])
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name == "POP" and self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        elif name == "DUP":
            self.stack.append(self._top())
        elif name in _FILLS:
            self._fill(_FILLS[name])
        else:
            self._make(operation)

    def _fill(self, n_values):
        values = self._to_mark() if n_values < 0 else self._popped(n_values)
        if n_values == 0:  # the state of an object: no key is looked up in it
            self._popped(1)
            return
        container = self._top()
        size, depth = self._around(values)
        container[0] += size
        container[1] = max(container[1], depth)

    def _make(self, operation):
        before = operation.stack_before
        if pickletools.markobject in before:
            values = self._to_mark()
        else:
            values = self._popped(len(before))
        for _ in operation.stack_after:
            self.stack.append(list(self._around(values)))

    def _around(self, values):
        size = 1 + sum(value[0] for value in values)
        depth = 1 + max((value[1] for value in values), default=0)
        self.work += size
        if self.work > _MOST_WORK or depth > _DEEPEST:
            raise pickle.UnpicklingError(
                f"it holds values inside of each other more than {_DEEPEST:,} deep, or "
                "so often that reading them would not end"
            )
        return size, depth

    def _top(self):
        (value,) = self._popped(1)
        self.stack.append(value)
        return value

    def _popped(self, n_values):
        start = len(self.stack) - n_values
        if start < (self.marks[-1] if self.marks else 0):
            raise pickle.UnpicklingError("a damaged pickle (its stack is too short)")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _to_mark(self):
        at = self.marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values
