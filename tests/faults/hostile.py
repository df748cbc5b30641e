"""What harnesses of hostile files share: named tricks, damage of bytes, what is right.

A trick is a function of a whole file's bytes (or of what makes one) and a generator of
random numbers; its docstring says what it tries. `tricks_of(module)` lists them, so
that a page about security can name each.
"""

import random
from collections.abc import Callable
from pathlib import Path

LONGEST = 2100  # characters of a message that somebody can read


class Tricks(dict):
    """Tricks of one kind of file, by name."""

    def __call__(self, function):
        self[function.__name__] = function
        return function

    def cases(self, n, seed):
        """Return n of (name, seed), each trick as often as the others."""
        rng, names = random.Random(seed), []
        while len(names) < n:
            round_ = sorted(self)
            rng.shuffle(round_)
            names += round_
        return [(name, f"{seed}-{number}") for number, name in enumerate(names[:n])]


def tricks_of(module) -> dict[str, str]:
    """Return the name of each trick of a module and the first line of its docstring."""
    return {
        name: trick.__doc__.partition("\n")[0]
        for thing in vars(module).values()
        if isinstance(thing, Tricks)
        for name, trick in thing.items()
    }


def tried(path: Path, kind: type, read: Callable) -> str:
    """Return what came of reading a file: "right: refused", or what `read` says.

    An error of another kind goes on, and counts under its name.
    """
    try:
        return read(path)
    except kind as error:
        return of_error(error, path)


def of_error(error, path):
    """Say whether an error is as it should be: names the file, and can be read."""
    text = str(error)
    if path.name not in text:
        return f"other answer: an error that does not name the file: {text}"
    if len(text) > LONGEST:
        return f"other answer: an error of {len(text)} characters: {text[:200]}"
    return "right: refused"


def bits_flipped(content, rng):
    """Flip one to eight bits anywhere."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def head_flipped(content, rng):
    """Flip bits of the first kilobyte, where formats say what follows."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(min(1024, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def tail_flipped(content, rng):
    """Flip bits of the last two kilobytes, where archives have their list."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[-1 - rng.randrange(min(2048, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut_short(content, rng):
    """Cut the file off somewhere."""
    return content[: rng.randrange(len(content))]


def block_zeroed(content, rng):
    """Overwrite a block with zeros, as a disk that failed does."""
    begin, size = rng.randrange(len(content)), rng.choice([1, 64, 512, 4096])
    size = min(size, len(content) - begin)
    return content[:begin] + bytes(size) + content[begin + size :]


def block_moved(content, rng):
    """Take a block out and put it elsewhere."""
    begin, size = rng.randrange(len(content)), rng.randint(1, 4096)
    block, rest = (
        content[begin : begin + size],
        content[:begin] + content[begin + size :],
    )
    to = rng.randrange(len(rest) + 1)
    return rest[:to] + block + rest[to:]


def block_inserted(content, rng):
    """Put random bytes in."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.randbytes(rng.randint(1, 100)) + content[at:]


def number_changed(content, rng):
    """Overwrite four or eight bytes with a number that is at some border."""
    number = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1])
    size = 8 if number >= 2**32 else rng.choice([4, 8])
    at = rng.randrange(max(1, len(content) - size))
    return content[:at] + number.to_bytes(size, "little") + content[at + size :]


def random_bytes(content, rng):
    """Random bytes alone."""
    return rng.randbytes(rng.choice([0, 1, 10, 1000]))


DAMAGE = Tricks(
    {
        function.__name__: function
        for function in (
            bits_flipped,
            head_flipped,
            tail_flipped,
            cut_short,
            block_zeroed,
            block_moved,
            block_inserted,
            number_changed,
            random_bytes,
        )
    }
)
