"""What a user's function or object is made of: its code, what it calls, its state.

Source text is not asked: it may have changed on the disk since it was imported, and a
prompt has none. Bytecode is what runs.
"""

from __future__ import annotations
import __future__

import builtins
import copyreg
import dis
import functools
import hashlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from base_models.runtime.caches import Cache, cached
from base_models.store.versions import (
    declared_versions,
    is_own_module,
    module_version,
    own_versions,
)

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
# What these do is not in the code that names them.
_DYNAMIC = {"eval", "exec", "compile", "globals", "__import__", "open", "input"}
_READING = {
    "open", "imread", "load", "loadtxt", "genfromtxt", "fromfile", "memmap",
    "read_text", "read_bytes", "read_csv", "read_parquet", "read_image", "load_file",
    "from_pretrained", "import_module", "modules", "environ", "getenv",
}  # fmt: skip
_FINDS_PLUGINS = "base_models.plugins"
_OF_EVERY_CLASS = {  # and nothing that it does
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__",
    "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__",
    "__firstlineno__", "__static_attributes__", "__parameters__", "__orig_bases__",
    "__dataclass_fields__", "__dataclass_params__", "__match_args__", "__slotnames__",
    "_abc_impl",
}  # fmt: skip
_MAKING = ("__init__", "__new__")
_NEW_OBJECT = copyreg.__newobj__, copyreg.__newobj_ex__  # type: ignore[attr-defined]
_ANNOTATIONS = __future__.annotations.compiler_flag  # how types are written: no code


def code_digest(thing: object, in_process: bool = False, in_full: bool = True) -> str:
    """Return a digest of a function, a class or an object: its code and its state.

    It sees the bytecode of what a user wrote, defaults, closures, the values of global
    names, and all of that of the functions, classes and objects that are reached so.
    Libraries go by their major and minor version, those of our own classes that have a
    ``code_version`` by that.

    Parameters
    ----------
    thing : object
    in_process : bool, default=False
        For what no other process will find: what a class shares, and is no code, counts
        as its source says it begins, since objects may note there what they did.
    in_full : bool, default=True
        Whether to refuse what cannot be told. If not, its name stands for that part,
        and all the rest counts: another digest means another thing, and the same one
        little more than that no difference is known.

    Returns
    -------
    str
        Hexadecimal.

    Raises
    ------
    TypeError
        If not all of it can be told: it opens files, imports a user's module in a
        function, evaluates text, or holds what cannot be pickled.

    Examples
    --------
    >>> from base_models.store.code import code_digest
    >>> code_digest(max) == code_digest(min)
    False
    """
    try:
        return _Walk(in_process, in_full).digest(thing)
    except TypeError:
        raise
    except RecursionError as error:
        if not in_full:
            return hashlib.sha256(_named(thing).encode()).hexdigest()
        raise TypeError(f"{_named(thing)} is nested too deeply to be told") from error
    except Exception as error:  # whatever an object of others raises on the way
        raise TypeError(f"what {_named(thing)} is made of cannot be told") from error


class _Walk:
    """One way through all that an object is made of, written to a hash."""

    def __init__(self, in_process: bool, in_full: bool) -> None:
        self._in_process, self._in_full = in_process, in_full
        self._hash = hashlib.sha256()
        self._seen: dict[object, int] = {}  # id -> number
        self._alive: list[object] = []  # so that no id is given twice

    def digest(self, thing: object) -> str:
        self._write("python", *map(str, sys.version_info[:2]))
        self._walk(thing)
        return self._hash.hexdigest()

    def _write(self, *words: str | bytes) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else word.encode()
            self._hash.update(len(data).to_bytes(8, "little") + data)

    def _untold(self, why: str, name: str) -> None:
        """Refuse what cannot be told, or write a name, the same in each process."""
        if self._in_full:
            raise TypeError(why)
        self._write("untold", name)

    def _walk(self, thing: Any) -> None:
        if type(thing) in _PLAIN:
            self._write(type(thing).__name__, repr(thing))
        elif not self._met(thing, id(thing)):
            try:
                self._open(thing)
            except Exception as error:  # whatever an object of others raises
                if self._in_full or isinstance(error, RecursionError):
                    raise
                self._write("untold", _named(thing))

    def _met(self, thing: object, key: object) -> bool:
        """Whether it was seen before; cycles end here."""
        if key in self._seen:
            self._write("again", str(self._seen[key]))
            return True
        self._seen[key] = len(self._seen)
        self._alive.append(thing)
        return False

    def _open(self, thing: Any) -> None:
        tensor = getattr(sys.modules.get("torch"), "Tensor", ())
        script = getattr(sys.modules.get("torch.jit"), "ScriptModule", ())
        if isinstance(thing, Cache) and not self._in_full:
            self._write("cache")
        elif isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, types.FunctionType):
            self._function(thing)
        elif isinstance(thing, (types.MethodType, types.BuiltinFunctionType)):
            self._method(thing)
        elif isinstance(thing, types.ModuleType):
            self._module(thing)
        elif type(thing).__name__ == "cython_function_or_method":
            if not self._of_library(thing.__module__, thing.__qualname__):
                why = f"{thing!r} is compiled and of no known version"
                self._untold(why, thing.__qualname__)
        elif isinstance(thing, functools.partial):
            self._write("partial")
            self._all([thing.func, thing.args, thing.keywords])
        elif isinstance(thing, np.ndarray) and thing.dtype != object:
            self._write("array", str(thing.dtype), str(thing.shape))
            self._write(np.ascontiguousarray(thing).tobytes())
        elif isinstance(thing, tensor):
            self._tensor(thing)
        elif isinstance(thing, script):
            self._script(thing)
        elif type(thing) in (list, tuple):
            self._write(type(thing).__name__, str(len(thing)))
            self._all(thing)
        elif type(thing) in (set, frozenset):
            self._write(type(thing).__name__, *sorted(self._each(thing)))
        elif type(thing) in (dict, types.MappingProxyType):
            self._write("dict", str(len(thing)))
            self._all(part for item in thing.items() for part in item)
        elif isinstance(thing, (staticmethod, classmethod)):
            self._write(type(thing).__name__)
            self._walk(thing.__func__)
        elif isinstance(thing, property):
            self._write("property")
            self._all([thing.fget, thing.fset, thing.fdel])
        elif isinstance(thing, functools.cached_property):
            self._write("cached_property")
            self._walk(thing.func)
        elif type(thing) is type(functools.lru_cache(len)):
            self._write("lru_cache")
            self._walk(thing.__wrapped__)
        else:
            self._object(thing)

    def _all(self, things: Iterable[Any]) -> None:
        for thing in things:
            self._walk(thing)

    def _each(self, things: Iterable[Any]) -> list[str]:
        return [code_digest(thing, self._in_process, self._in_full) for thing in things]

    def _of_library(self, module: str | None, name: str) -> bool:
        """Write what stands for a library's code; say whether it is such."""
        version = module_version(module)
        if version is None or module is None:
            return False
        self._write("library", version, module, name)
        return True

    def _module(self, module: types.ModuleType) -> None:
        if not self._of_library(module.__name__, ""):
            name = module.__name__
            self._untold(f"which parts of {name} are used cannot be told", name)

    def _function(self, function: types.FunctionType) -> None:
        # Where its code is from: a decorator's has the name of what it wraps.
        module = function.__globals__.get("__name__")
        if module == _FINDS_PLUGINS:  # what it comes to is what is installed
            self._write("plugins", function.__qualname__, declared_versions())
            return
        if not self._in_full and module and is_own_module(module):
            # Its module holds caches, which say nothing of what it does.
            self._write("own", _sources(module.partition(".")[0]))
            self._write(function.__qualname__)
        elif not self._of_library(module, function.__qualname__):
            if function.__name__ == "<lambda>":
                why = "a lambda has no stable description; give it a name"
                self._untold(why, "lambda")
            self._write("function", _place(module), function.__qualname__)
            self._code(function.__code__, function.__globals__)
            self._all([function.__defaults__, function.__kwdefaults__])
            self._walk(function.__dict__)
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            self._write("cell", name)
            try:
                value = cell.cell_contents
            except ValueError:  # not yet filled
                continue
            self._walk(value)

    def _method(self, method: Any) -> None:
        """Of an object, or a builtin function, which is its module's."""
        owner = method.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            module = method.__module__ or getattr(owner, "__name__", "")
            if not self._of_library(module, method.__qualname__):
                why = f"{method!r} is compiled and of no known version"
                self._untold(why, method.__qualname__)
            return
        self._write("method", method.__name__)
        self._walk(getattr(method, "__func__", None))
        self._walk(owner)

    def _class(self, cls: type, made: bool = False) -> None:
        """Write a class; of a made object not how it was made: its state says that."""
        if self._of_library(cls.__module__, cls.__qualname__):
            return
        self._write("class", _place(cls.__module__), cls.__qualname__)
        if is_own_module(cls.__module__) and own_versions(cls):
            self._write(repr(own_versions(cls)))
            return
        source = _source(cls) if self._in_process else ""
        self._write(source)
        for base in (type(cls), *cls.__bases__):
            if not self._met(base, (id(base), made)):
                self._class(base, made)
        for name, value in sorted(vars(cls).items(), key=lambda item: item[0]):
            if name in _OF_EVERY_CLASS or (made and name in _MAKING):
                continue
            self._write(name)
            slot = types.MemberDescriptorType, types.GetSetDescriptorType
            noted = source and not (callable(value) or hasattr(value, "__get__"))
            if not (noted or isinstance(value, slot)):
                self._walk(value)

    def _script(self, module: Any) -> None:
        self._write("script", module.code)
        self._all([dict(module.state_dict()), module.training])

    def _tensor(self, tensor: Any) -> None:
        import torch

        self._write("tensor", str(tensor.dtype), str(tuple(tensor.shape)))
        self._write(str(tensor.requires_grad))
        if tensor.device.type == "meta" or tensor.layout != torch.strided:
            why = f"a tensor on {tensor.device}, {tensor.layout}, has no bytes"
            self._untold(why, "tensor")
            return
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        self._write(flat.view(torch.uint8).numpy().tobytes())  # NumPy has no bfloat16

    def _object(self, thing: Any) -> None:
        """Write an object as pickle takes it apart."""
        cls = type(thing)
        if self._is_the_librarys(thing, cls):
            return
        if not self._met(cls, (id(cls), True)):
            self._class(cls, made=True)
        try:
            reduce = copyreg.dispatch_table.get(cls)
            parts = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception as error:  # whatever a class of others raises
            if self._in_full:
                raise TypeError(
                    f"{_named(thing)} has no stable description: {error}"
                ) from error
            self._write("untold", _named(thing))
            self._walk(getattr(thing, "__dict__", None))
            return
        if isinstance(parts, str):
            if not self._of_library(cls.__module__, parts):
                why = f"{_named(thing)} has no stable description"
                self._untold(why, _named(thing))
            return
        maker, arguments, *rest = parts
        if maker in _NEW_OBJECT:
            arguments = arguments[1:]  # the class, which is written
        else:
            self._walk(maker)
        state, items, pairs = (*rest[:3], None, None, None)[:3]
        self._all([tuple(arguments), state, list(items or ()), list(pairs or ())])

    def _is_the_librarys(self, thing: object, cls: type) -> bool:
        """Whether a library's module holds it, such as NumPy's global generator.

        Its state is not the user's, and may be another in each process.
        """
        module = sys.modules.get(cls.__module__)
        for name, value in vars(module).items() if module is not None else ():
            if value is thing:
                return self._of_library(cls.__module__, name)
        return False

    def _code(self, code: types.CodeType, names: dict[str, Any]) -> None:
        """Write code, and what the global names in it mean."""
        self._write("code", code.co_code, getattr(code, "co_exceptiontable", b""))
        shape = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
        self._write(repr((*shape, code.co_flags & ~_ANNOTATIONS)))
        for words in (
            code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars,
        ):  # fmt: skip
            self._write(repr(words))
        reading = _READING.intersection(code.co_names)
        if reading:
            name = sorted(reading)[0]
            self._untold(f"what {code.co_name} reads by {name!r} cannot be told", name)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant, names)
            else:
                self._walk(constant)
        self._names(code, names)

    def _names(self, code: types.CodeType, names: dict[str, Any]) -> None:
        steps = list(dis.get_instructions(code))
        loaded = {s.argval for s in steps if s.opname == "STORE_GLOBAL"}
        of_class_body = {s.argval for s in steps if s.opname == "STORE_NAME"}
        for at, step in enumerate(steps):
            if step.opname == "IMPORT_NAME":
                self._import(step.argval, steps[at - 2].argval, code)
            if step.opname not in ("LOAD_GLOBAL", "LOAD_NAME"):
                continue
            name = step.argval
            if name in loaded and not self._in_full:
                self._write("loaded", name)  # when it is first needed, as models are
            elif name in names:
                self._write("global", name)
                self._value(name, names[name], steps[at + 1 :])
            elif name in of_class_body:
                continue
            elif name in _DYNAMIC or not hasattr(builtins, name):
                why = f"what {code.co_name} does by {name!r} cannot be told"
                self._untold(why, name)

    def _value(self, name: str, value: Any, steps: list[dis.Instruction]) -> None:
        """Write what a global name means; of a user's module, what is taken from it."""
        for step in steps:
            own = isinstance(value, types.ModuleType) and (
                module_version(value.__name__) is None
            )
            if not own or step.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                break
            if not hasattr(value, step.argval):
                self._untold(f"{name} has no {step.argval!r}", step.argval)
                return
            value = getattr(value, step.argval)
        self._walk(value)

    def _import(self, module: str, level: int, code: types.CodeType) -> None:
        if level == 0 and is_own_module(module):  # what is used of it is not told
            self._write("own", _sources(module.partition(".")[0]))
        elif level != 0 or not self._of_library(module, ""):
            why = f"what {code.co_name} imports of {module} cannot be told"
            self._untold(why, module)


@cached(maxsize=128)
def _sources(package: str) -> str:
    """Return a digest of all source files of one of our packages."""
    digest = hashlib.sha256()
    spec: Any = importlib.util.find_spec(package)
    (folder,) = spec.submodule_search_locations
    for file in sorted(Path(folder).rglob("*.py")):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):  # typed into a prompt
        return ""


def _place(module: str | None) -> str:
    """A module's name; ours may move their code without changing it."""
    return "" if is_own_module(module) else module or ""


def _named(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
