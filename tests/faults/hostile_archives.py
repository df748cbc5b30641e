"""Forged archives of saved models: the archive is wrong, or its list of parts."""

import hashlib
import io
import json
import struct
import zipfile

from hostile import Tricks

forgeries = Tricks()  # of (manifest, parts, rng, marker); return the file


def opened(content):
    """Return manifest and other parts of a saved model."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(parts.pop("manifest.json")), parts


def packed(manifest, parts, compression=zipfile.ZIP_STORED, listed=True):
    """Return a file whose list of parts is right, whatever is in them."""
    if listed and isinstance(manifest, dict):
        digests = {name: hashlib.sha256(c).hexdigest() for name, c in parts.items()}
        manifest = {**manifest, "sha256": digests}
        manifest.pop("manifest_sha256", None)  # else nothing but it is wrong
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        text = manifest if isinstance(manifest, (str, bytes)) else json.dumps(manifest)
        archive.writestr("manifest.json", text)
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


def places(thing, path=()):
    """Yield where something stands in nested lists and dicts."""
    inside = thing.items() if isinstance(thing, dict) else enumerate(thing)
    for key, value in inside:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def value_at(thing, path):
    for key in path:
        thing = thing[key]
    return thing


@forgeries
def nested_deeply(manifest, parts, rng, marker):
    """Lists in lists, some levels or very many."""
    depth = rng.choice([50, 300, 900, 50_000])
    nested = rng.choice(['{"list": [', '{"tuple": [', '{"dict": [[1, ', "["]) * depth
    closed = nested.replace("{", "}")[::-1].replace("[", "]")
    closed = "".join(c for c in closed if c in "}]")
    *path, last = rng.choice(list(places(manifest)))
    value_at(manifest, path)[last] = "@nested@"
    digests = {name: hashlib.sha256(c).hexdigest() for name, c in parts.items()}
    text = json.dumps({**manifest, "sha256": digests})
    return packed(text.replace('"@nested@"', f"{nested}0{closed}"), parts)


@forgeries
def unlisted_part(manifest, parts, rng, marker):
    """A part that the list of checksums does not have, or a list without a part."""
    name = rng.choice(list(parts))
    if rng.random() < 0.5:
        manifest["sha256"].pop(name, None)
        return packed(manifest, parts, listed=False)
    return packed(manifest, {**parts, "run.py": b"print()"}, listed=False)


@forgeries
def missing_part(manifest, parts, rng, marker):
    """A part that is listed is not there."""
    name = rng.choice(list(parts))
    return packed(manifest, {k: v for k, v in parts.items() if k != name}, listed=False)


@forgeries
def duplicate_part(manifest, parts, rng, marker):
    """A name twice in the archive."""
    import warnings

    content = io.BytesIO(packed(manifest, parts))
    with warnings.catch_warnings(), zipfile.ZipFile(content, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(rng.choice([*parts, "manifest.json"]), b"{}")
    return content.getvalue()


@forgeries
def bomb(manifest, parts, rng, marker):
    """Parts of zeros that unpack to a gigabyte, by each way of packing."""
    way = rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    zeros = bytes(2**24)
    return packed(manifest, {**parts, "zeros": zeros, "more": zeros}, way)


@forgeries
def bomb_inside_a_part(manifest, parts, rng, marker):
    """A scikit-learn part, an archive itself, that unpacks to much."""
    inside = packed({}, {"zeros": bytes(2**25)}, zipfile.ZIP_DEFLATED, listed=False)
    manifest["chosen_combiner"] = manifest["rule"] = {"skops": "parts/99.skops"}
    return packed(manifest, {**parts, "parts/99.skops": inside})


@forgeries
def sizes_that_lie(manifest, parts, rng, marker):
    """An archive whose list says other sizes than its parts have."""
    content = bytearray(packed(manifest, parts))
    at = content.rfind(b"PK\x01\x02")
    size = rng.choice([0, 1, 2**31, 2**32 - 1])
    content[at + 20 : at + 28] = struct.pack("<2I", size, size)
    return bytes(content)


@forgeries
def odd_flags(manifest, parts, rng, marker):
    """An archive that says it is encrypted, or packed in a way nobody knows."""
    content = bytearray(packed(manifest, parts))
    at = content.find(b"PK\x01\x02")
    if rng.random() < 0.5:
        content[at + 8] |= 1
    else:
        content[at + 10 : at + 12] = struct.pack("<H", rng.choice([1, 6, 9, 97, 65535]))
    return bytes(content)


@forgeries
def manifest_of_another_kind(manifest, parts, rng, marker):
    """A manifest that is no object, is cut off, too deep, or no UTF-8."""
    text = rng.choice(
        [
            "",
            "[]",
            "3",
            '"a"',
            "{}",
            "[" * 100_000,
            '{"a":',
            "null",
            b"\xff\xfe{}",
            b"\xff" * 9,
            '{"a":' * 50_000,
            "NaN",
            json.dumps(manifest)[:-1],
            json.dumps(manifest) + "x",
        ]
    )
    return packed(text, parts, listed=False)


@forgeries
def later_format(manifest, parts, rng, marker):
    """A format that this release does not know."""
    number = rng.choice([0, 99, None, "2", [2], -1, 2.5, True, "<script>", 2**70])
    return packed({**manifest, "format": number}, parts)


@forgeries
def names_of_parts_that_lead_out(manifest, parts, rng, marker):
    """Parts whose names are paths elsewhere."""
    name = rng.choice([f"../{marker.name}", str(marker), "a/../../b", "C:\\x", "/"])
    return packed(manifest, {**parts, name: b"content"})
