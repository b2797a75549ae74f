"""Options that several classes share: fields of one frozen dataclass, and keywords of every constructor that takes them."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

Options = TypeVar("Options")


class TakesOptions:
    """Base of classes whose constructor has ``*, options=None, **overrides``, the overrides being fields of a dataclass.

    ``inspect.signature`` and ``help`` show every field as a keyword with the default of that class, and no ``**``. (Type
    checkers see them as well: annotate the overrides with ``Unpack`` of a TypedDict of the same names.)

    Attributes:
        defaults: the options of the class, an instance of the dataclass. A subclass may have others.
    """

    defaults: ClassVar[Any]
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.defaults, Mapping):
            warnings.warn(
                f"{cls.__name__}.defaults as a dict is deprecated: write an instance of the dataclass of options",
                DeprecationWarning,
                stacklevel=2,
            )
            inherited = next(vars(base)["defaults"] for base in cls.__mro__[1:] if "defaults" in vars(base))
            cls.defaults = type(inherited)(**cls.defaults)
        shown = _with_options(inspect.signature(cls.__init__), cls.defaults)
        if "__init__" in vars(cls):
            vars(cls)["__init__"].__signature__ = shown
        cls.__signature__ = shown.replace(parameters=list(shown.parameters.values())[1:])  # without self

    def _settle(self, options: Options | None, overrides: Mapping[str, Any]) -> Options:
        """The options of a call: those given or else the defaults of the class, with the overrides put in.

        Raises:
            TypeError: options of another class; a keyword that is none of the fields.
        """
        name, kind = type(self).__name__, type(self.defaults)
        base = self.defaults if options is None else options
        if not isinstance(base, kind):
            raise TypeError(f"{name} expected options of type {kind.__name__}, got {type(base).__name__}")
        names = [field.name for field in dataclasses.fields(self.defaults)]
        for key in overrides:
            if key not in names:
                raise TypeError(f"{name} got an unexpected keyword {key!r}: {_nearest(key, names)}")
        return dataclasses.replace(base, **overrides)


def show_keywords(cls: type, base: type) -> None:
    """Let ``inspect.signature`` and ``help`` of a class show the keywords of a base's constructor in the place of ``**``."""
    own = inspect.signature(cls.__init__)  # type: ignore[misc]
    keywords = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
    if "__init__" in vars(cls) and any(p.kind is p.VAR_KEYWORD for p in own.parameters.values()):
        fixed = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [p for p in keywords if p.kind is p.KEYWORD_ONLY and p.name not in own.parameters]
        shown = own.replace(parameters=[*fixed, *more])
        vars(cls)["__init__"].__signature__ = shown
        cls.__signature__ = shown.replace(parameters=list(shown.parameters.values())[1:])  # type: ignore[attr-defined]


def _nearest(key: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"its options are {', '.join(names)}"


def _with_options(signature: inspect.Signature, defaults: Any) -> inspect.Signature:
    """A signature with ``options`` in which the fields of the defaults replace the ``**``; another one as it is."""
    if "options" not in signature.parameters:
        return signature
    fields: dict[str, dataclasses.Field] = {}
    for kind in filter(dataclasses.is_dataclass, reversed(type(defaults).__mro__)):
        own = {field.name: field for field in dataclasses.fields(kind) if field.name not in fields}
        fields = own | fields  # those of a subclass come first
    fixed = {name: p for name, p in signature.parameters.items() if name not in fields and p.kind is not p.VAR_KEYWORD}
    base = fixed.pop("options")
    shown = [
        inspect.Parameter(name, base.KEYWORD_ONLY, default=getattr(defaults, name), annotation=field.type)
        for name, field in fields.items()
    ]
    return signature.replace(parameters=[*fixed.values(), *shown, base])
