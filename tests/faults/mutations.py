"""Ways to damage a file: each of (content, other files by name, random) -> content."""

import struct

WIDTH, HEIGHT = 64, 48  # of the pictures in the files


def flip_bits(content, clips, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def flip_head(content, clips, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        content[rng.randrange(min(700, len(content)))] = rng.randrange(256)
    return bytes(content)


def flip_index(content, clips, rng):
    at = max(content.rfind(b"moov"), content.rfind(b"idx1"), 0)
    content = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        content[rng.randrange(at, len(content))] = rng.choice((0, 1, 127, 255))
    return bytes(content)


def cut(content, clips, rng):
    return content[: rng.randrange(1, len(content))]


def cut_out(content, clips, rng):
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 400) :]


def repeat(content, clips, rng):
    start = rng.randrange(len(content))
    part = content[start : start + rng.randrange(1, 400)]
    return content[:start] + part * rng.choice((2, 50, 2000)) + content[start:]


def zeros(content, clips, rng):
    start = rng.randrange(len(content))
    length = rng.randrange(1, 600)
    filler = rng.choice((b"\0", b"\xff", b"\x7f"))
    return content[:start] + filler * length + content[start + length :]


def numbers(content, clips, rng):
    """Set whole numbers to those that overflow."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 2, 4))):
        at = rng.randrange(max(1, len(content) - 8))
        number = rng.choice(
            (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**24, 99_999_999)
        )
        order = rng.choice("<>")
        content[at : at + 4] = struct.pack(f"{order}I", number)
    return bytes(content)


def splice(content, clips, rng):
    other = rng.choice(list(clips.values()))
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def joined(content, clips, rng):
    return content + rng.choice(list(clips.values()))


def boxes_of(content):
    at, found = 0, []
    while at + 8 <= len(content):
        length = struct.unpack_from(">I", content, at)[0]
        if length < 8:
            break
        found.append(content[at : at + length])
        at += length
    return found


def swap_boxes(content, clips, rng):
    boxes = boxes_of(content)
    rng.shuffle(boxes)
    return b"".join(boxes) or content


_TABLES = (b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"stss", b"elst", b"trun",
           b"tfhd", b"mdhd", b"mvhd", b"tkhd", b"stsd", b"avcC", b"hvcC", b"esds",
           b"trex", b"avih", b"strh", b"strf", b"idx1", b"tfdt")  # fmt: skip


def tables(content, clips, rng):
    """Set numbers in the tables of an index: sizes, counts, times, time bases."""
    found = [at for kind in _TABLES if (at := content.find(kind)) >= 0]
    if not found:
        return numbers(content, clips, rng)
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.choice(found) + 4 * rng.randrange(-1, 8)
        number = rng.choice((0, 1, 2, 40, 2**16, 2**24, 80_000_000, 2**31, 2**32 - 1))
        content[at : at + 4] = struct.pack(">I", number)
    return bytes(content)


def sizes(content, clips, rng):
    """Set the size of pictures wherever the file states it."""
    width, height = (rng.choice((0, 1, 16, 4000, 12_000, 16_384, 65_535)) for _ in "wh")
    for form in (">HH", "<HH", ">II", "<II", "<ii"):
        stated = struct.pack(form, WIDTH, HEIGHT)
        content = content.replace(stated, struct.pack(form, width & 65535, height))
    return content


def renamed_boxes(content, clips, rng):
    kinds = [kind for kind in _TABLES if kind in content]
    if not kinds:
        return flip_head(content, clips, rng)
    return content.replace(rng.choice(kinds), rng.choice(_TABLES), 1)


def bomb(content, clips, rng):
    """Add an index that stands for millions of frames, edits or fragments."""
    n = rng.choice((2**16, 2**20, 50_000_000, 2**31, 2**32 - 1))
    sizes = box(b"stsz", struct.pack(">III", 0, rng.choice((1, 40)), n))
    run = box(b"trun", struct.pack(">II", 0, n))
    edits = box(
        b"elst", struct.pack(">II", 0, 999), struct.pack(">IIi", 9, 0, 65536) * 999
    )
    fragment = box(b"moof", box(b"traf", box(b"tfhd", bytes(8)), run))
    which = rng.randrange(4)
    if which == 0 and (at := content.find(b"stsz")) > 0:
        content = content[: at + 8] + sizes[12:] + content[at + 16 :]
        at = content.find(b"stsc")
        return content[: at + 16] + struct.pack(">I", n) + content[at + 20 :]
    if which == 1:
        return content + fragment * rng.choice((1, 50))
    if which == 2 and b"edts" in content:
        return content.replace(b"edts", b"free").replace(b"mdia", b"edts", 1) + edits
    return content + box(b"moov", box(b"trak", box(b"edts", edits), sizes))


def elsewhere(content, clips, rng):
    """Have the samples of an MP4 lie in another file (a data reference)."""
    own, other = b"\0\0\0\x0curl \0\0\0\1", b"a.mp4\0"
    kind = rng.choice((b"url ", b"alis", b"urn "))
    named = struct.pack(">I4sI", 12 + len(other), kind, 0) + other
    return content.replace(own, named, 1)


_MOST = 32 * 2**20  # bytes that a mutation adds by repeating


def many_streams(content, clips, rng):
    return content.replace(b"trak", b"free", 1) + b"".join(
        box(b"moov", *[part] * min(rng.choice((3, 300)), 1 + _MOST // len(part)))
        for part in boxes_of(content)[-1:]
    )  # fmt: skip


def deep(content, clips, rng):
    inner = b""
    for _ in range(rng.choice((10, 1000, 20_000))):
        inner = box(rng.choice((b"moov", b"trak", b"udta", b"meta")), inner[: 2**20])
    return content + inner if rng.random() < 0.5 else inner + content


def box(kind, *content):
    content = b"".join(content)
    return struct.pack(">I4s", (8 + len(content)) & 0xFFFFFFFF, kind) + content


MUTATIONS = [
    flip_bits, flip_head, flip_index, cut, cut_out, repeat, zeros, numbers,
    splice, joined, swap_boxes, tables, sizes, renamed_boxes, bomb, elsewhere,
    many_streams, deep,
]  # fmt: skip
