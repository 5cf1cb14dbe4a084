"""Read ``matrix/*.toml`` into a Matrix, reporting every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from meshsweep import quarantine
from meshsweep.control import deadlines
from meshsweep.errors import MatrixError, UserError, nearest
from meshsweep.machines import declaration
from meshsweep.matrix import (
    Defaults,
    Environment,
    Floor,
    Matrix,
    Mesh,
    Rule,
    Scale,
    SessionSpec,
    Split,
    Tier,
)
from meshsweep.numerics import floors
from meshsweep.shape import MeshShape
from meshsweep.toml import Reader, Table

__all__ = ["load"]

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": (bool, "true or false"),
    "text": (str, "a string"),
}


def load(directory: Path, *, today: date | None = None) -> Matrix:
    """Return the matrix declared in a directory of TOML files, as it is read ``today``.

    Raises MatrixError with one line per mistake: file, table, key, what was expected.
    """
    reader = Reader(directory)
    axes = _Axes(reader)
    matrix = Matrix(
        root=directory,
        meshes=axes.meshes,
        dtypes=axes.dtypes,
        scales=axes.scales,
        environments=axes.environments,
        machines=axes.machines,
        tiers=axes.tiers,
        includes=axes.rules("include"),
        excludes=axes.rules("exclude"),
        floors=axes.floors(),
        quarantine=axes.quarantine(today or datetime.now(timezone.utc).date()),
        sessions=axes.sessions(),
        defaults=axes.defaults(),
    )
    reader.close()
    if reader.mistakes:
        raise MatrixError(reader.mistakes)
    return matrix


class _Axes:
    """The files in the order in which they refer to each other."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.meshes = self._named("meshes.toml", "meshes", _mesh)
        self.dtypes = self._named("dtypes.toml", "dtypes", _dtype)
        self.scales = _scales(reader)
        self.environments = self._named("environments.toml", "environments", self._environment)
        self.machines = self._named("machines.toml", "machines", declaration.read)
        self._meshes = reader.known("mesh", "meshes.toml", self.meshes)
        self._dtypes = reader.known("dtype", "dtypes.toml", self.dtypes)
        self._scales = reader.known("scale", "scales.toml", self.scales)
        self._environments = reader.known("environment", "environments.toml", self.environments)
        self._machines = reader.known("machine", "machines.toml", self.machines)
        self.tiers = self._named("tiers.toml", "tiers", self._tier)
        self._tiers = reader.known("tier", "tiers.toml", self.tiers)
        self._rules = reader.file("rules.toml", optional=True)

    def _named(self, file: str, key: str, build: Any, *, optional: bool = False) -> dict[str, Any]:
        top = self.reader.file(file, optional=optional)
        found = {}
        for name, table in top.tables(key, optional=optional).items():
            found[name] = build(name, table)
            table.close()
        top.close()
        if not found and key in dict(top.items()):
            top.mistake(None, f"declares nothing; expected at least one [{key}.NAME]")
        return found

    def _environment(self, name: str, table: Table) -> Environment:
        return Environment(
            name=name,
            about=table.text("about"),
            backend=table.text("backend"),
            python=table.texts("python", ()),
            requirements=table.texts("requirements", ()),
            constraints=table.path("constraints", self.reader.directory, None),
            standin=table.text("standin", None),
            arch=table.text("arch", "wormhole_b0"),
            values=table.flag("values", True),
            preload=_modules(table),
            open_s=table.number("open_s", 0.0, low=0, high=3600) or 0.0,
            deadline=deadlines.read(table.table("deadline", {})),
        )

    def _tier(self, name: str, table: Table) -> Tier:
        return Tier(
            name=name,
            about=table.text("about"),
            meshes=table.names("meshes", self._meshes, self._meshes.names or ()),
            dtypes=table.names("dtypes", self._dtypes, self._dtypes.names or ()),
            scales=table.names("scales", self._scales),
            timeout_minutes=table.count("timeout_minutes"),
            suite=table.texts("suite", ()),
            reruns=table.whole("reruns", 0),
        )

    def rules(self, kind: str) -> tuple[Rule, ...]:
        found = []
        for row in self._rules.rows(kind):
            found.append(
                Rule(
                    meshes=row.names("mesh", self._meshes, ()),
                    dtypes=row.names("dtype", self._dtypes, ()),
                    scales=row.names("scale", self._scales, ()),
                    environments=row.names("environment", self._environments, ()),
                    tiers=row.names("tier", self._tiers, ()),
                    reason=row.text("reason"),
                )
            )
            row.close()
        if kind == "exclude":
            self._rules.close()
        return tuple(found)

    def floors(self) -> tuple[Floor, ...]:
        top = self.reader.file("floors.toml", optional=True)
        found = floors.read(top, dtypes=self._dtypes, scales=self._scales, meshes=self._meshes)
        top.close()
        return found

    def quarantine(self, today: date) -> tuple[quarantine.Entry, ...]:
        top = self.reader.file("quarantine.toml", optional=True)
        known = (self._meshes, self._dtypes, self._scales, self._environments)
        found = quarantine.read(top, axes={axis.what: axis for axis in known}, today=today)
        top.close()
        return found

    def sessions(self) -> dict[str, SessionSpec]:
        def build(name: str, table: Table) -> SessionSpec:
            return SessionSpec(
                name=name,
                about=table.text("about"),
                environment=table.name("environment", self._environments),
                extras=table.texts("extras", ()),
                commands=table.commands("commands"),
                default=table.flag("default", False),
            )

        # A project may have no sessions beyond those of its meshes.
        return self._named("sessions.toml", "sessions", build, optional=True)

    def defaults(self) -> Defaults:
        top = self.reader.file("defaults.toml")
        defaults = Defaults(
            suite=top.texts("suite"),
            mesh=top.name("mesh", self._meshes),
            dtype=top.name("dtype", self._dtypes),
            scale=top.name("scale", self._scales),
            environment=top.name("environment", self._environments),
            machine=top.name("machine", self._machines),
            tier=top.name("tier", self._tiers),
        )
        top.close()
        return defaults


def _modules(table: Table) -> tuple[str, ...]:
    names = table.texts("preload", ())
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            table.mistake("preload", f"holds {name!r}; expected names of modules, such as torch")
    return tuple(names)


def _dtype(name: str, table: Table) -> str:
    if "-" in name:
        table.mistake(None, "has a dash in its name, which parts the axes of a cell; expected none")
    about: str = table.text("about")
    return about


def _mesh(name: str, table: Table) -> Mesh:
    shape = _shape_of(name, table)
    splits = {mode: _split(table, mode, shape) for mode in ("decode", "prefill")}
    fabric = table.text("fabric", None)
    return Mesh(name=name, shape=shape or MeshShape(rows=1, cols=1), fabric=fabric, **splits)


def _shape_of(name: str, table: Table) -> MeshShape | None:
    try:
        return MeshShape.parse(name)
    except UserError as error:
        table.mistake(None, str(error))
        return None


def _split(table: Table, mode: str, shape: MeshShape | None) -> Split:
    inner = table.table(mode)
    split = Split(**{degree: inner.count(degree) or 1 for degree in ("tp", "ep", "sp")})
    inner.close()
    if shape and (shape.cols % split.tp or shape.rows % split.ep or shape.rows % split.sp):
        table.mistake(
            mode,
            f"tp={split.tp} ep={split.ep} sp={split.sp} does not divide the mesh; "
            f"expected tp to divide its {shape.cols} columns, ep and sp its {shape.rows} rows",
        )
    return split


def _scales(reader: Reader) -> dict[str, Scale]:
    top = reader.file("scales.toml")
    fields = _fields(top)
    found = {}
    for name, table in top.tables("scales").items():
        config = table.table("config")
        found[name] = Scale(
            name=name,
            about=table.text("about"),
            layers=table.count("layers"),
            config=_config(config, fields),
            memory_bytes=int((table.number("memory_gb", 0, low=0, high=10_000) or 0) * 1e9),
        )
        table.close()
    top.close()
    return found


def _fields(top: Table) -> dict[str, str | None]:
    """Return the kind of each config field, None where the kind itself is a mistake."""
    fields: dict[str, str | None] = {}
    for key, kind in top.table("fields").items():
        fields[key] = kind if isinstance(kind, str) and kind in _KINDS else None
        if fields[key] is None:
            top.mistake(f"[fields] {key}", f"is {kind!r}; expected one of {', '.join(_KINDS)}")
    return fields


def _config(table: Table, fields: Mapping[str, str | None]) -> dict[str, object]:
    config = dict(table.items())
    for key, value in config.items():
        kind = fields.get(key)
        # Without any field the table [fields] itself is missing, which has been said.
        if fields and key not in fields:
            table.mistake(key, f"unknown field{nearest(key, fields)}")
        elif kind is not None and not _is_kind(value, kind):
            table.mistake(key, f"is {value!r}; expected {_KINDS[kind][1]}")
    return config


def _is_kind(value: object, kind: str) -> bool:
    # In Python a bool is an int; in TOML it is not.
    return isinstance(value, _KINDS[kind][0]) and (kind == "boolean" or not isinstance(value, bool))
