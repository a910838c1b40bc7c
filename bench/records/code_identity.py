"""The identity of a plugin's code: unchanged by comments, formatting and metadata.

The identity of a method, dataset or backbone is a hash of the statements of its file that it depends on, and
of the neighbouring modules that these import. It leaves out comments, docstrings and metadata for readers
(paper, link, formula, note, source, licence). The harness and libraries are not part of it: they have
versions, see `bench.records.protocol`.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOR_PEOPLE = frozenset(("paper", "link", "formula", "note", "source", "licence"))
"""Arguments of the decorators that do not affect results."""
FOR_PEOPLE_IN_PARTIAL = frozenset(("formula",))
"""Those left out also where a decorator was made with `partial`. The others count there: they always did, and
leaving them out would make finished results stale."""
DECORATORS = frozenset(("method", "preset", "dataset", "backbone"))
REACH_ALL = frozenset(("globals", "vars", "locals", "exec", "eval", "__import__", "import_module"))
"""A statement that uses one of these can depend on any other statement of its module."""
HARNESS = "bench"


@dataclass(frozen=True)
class Source:
    """A file of a plugin. name: its path relative to the folder that it was imported from."""

    name: str
    file: Path
    content: bytes


@dataclass(frozen=True)
class Code:
    """The files of a plugin as read: its own first, then the neighbouring modules that it needs."""

    sources: tuple[Source, ...]

    @property
    def file(self) -> Path:
        """The plugin's own file."""
        return self.sources[0].file

    @property
    def digest(self) -> str:
        """A hash of the bytes of all its files, which says whether they must be imported again."""
        hashed = hashlib.sha256()
        for source in self.sources:
            hashed.update(f"{source.name} {len(source.content)} ".encode())
            hashed.update(source.content)
        return hashed.hexdigest()[:16]

    def identity(self, names: Sequence[str] = ()) -> str:
        """A hash of the statements that these top-level names depend on; of the whole file without names."""
        own = _parsed(self.sources[0].content)
        beside = _closure(self.sources[0], own.imports_of(names), self.sources)[1:]
        parts = [own.text(names), *(f"{each.name} {_parsed(each.content).text()}" for each in beside)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def read(file: Path) -> Code:
    """The code of a plugin's file in its current state, with the neighbouring modules that it imports.

    Includes modules that those import in turn. Modules are searched in the file's own folder and, if that is
    part of a package, in the package; modules that are installed, or elsewhere on the path, count as
    libraries. Raises OSError if the file does not exist.
    """
    file = file.resolve()
    own = Source(file.name, file, file.read_bytes())
    if not _may_import_beside(own):
        return Code((own,))
    return Code(_closure(own, _parsed(own.content).imports_of()))


IMPORT = re.compile(rb"(?:^|[;:])[ \t]*(?:from[ \t]+([\w.]+)|import[ \t]+([\w., \t]+))", re.MULTILINE)


def _may_import_beside(own: Source) -> bool:
    """Whether a line looks like the import of a neighbouring file: most files need not be parsed."""
    folder = own.file.parent
    if (folder / "__init__.py").is_file():
        return True
    beside = {entry.partition(".")[0].encode() for entry in os.listdir(folder)}
    for one, several in IMPORT.findall(own.content.replace(b"\\\n", b" ")):
        tops = {name.strip().partition(b".")[0] for name in (one or several).split(b",")}
        if b"" in tops or {top.partition(b" ")[0] for top in tops} & beside:
            return True
    return False


@dataclass(frozen=True)
class _Statement:
    """A top-level statement of a module.

    binds: names that it assigns.
    uses: names that it reads.
    always: whether it can do more than bind names.
    imports: modules, as (level, dotted name).
    is_import: whether it is an import statement.
    """

    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    always: bool
    imports: tuple[tuple[int, str], ...]
    is_import: bool = False


@dataclass(frozen=True)
class _Module:
    statements: tuple[_Statement, ...]
    one: bool  # can any statement depend on any other?

    def _of(self, names: Sequence[str]) -> list[_Statement]:
        """Statements that these names depend on, in file order; all statements if this is unknown."""
        bound = {name for statement in self.statements for name in statement.binds}
        if self.one or not names or not bound.issuperset(names):
            return list(self.statements)
        wanted, taken = set(names), set[int]()
        grows = True
        while grows:
            grows = False
            for number, statement in enumerate(self.statements):
                if number not in taken and (statement.always or statement.binds & wanted):
                    taken.add(number)
                    wanted |= statement.uses | statement.binds
                    grows = True
        return [statement for number, statement in enumerate(self.statements) if number in taken]

    def text(self, names: Sequence[str] = ()) -> str:
        of = self._of(names)
        # The order of imports does not matter.
        first = sorted(statement.text for statement in of if statement.is_import)
        return "\n".join([*first, *(statement.text for statement in of if not statement.is_import)])

    def imports_of(self, names: Sequence[str] = ()) -> tuple[tuple[int, str], ...]:
        return tuple(found for statement in self._of(names) for found in statement.imports)


@cache
def _parsed(content: bytes) -> _Module:
    try:
        body = _without_docstring(ast.parse(content).body)
        partials = frozenset(name for node in body for name in _partials(node))
        statements = tuple(part for node in body for part in _statements(node, partials))
    except (SyntaxError, ValueError, RecursionError):
        # A file that cannot be parsed cannot be imported either.
        text = hashlib.sha256(content).hexdigest()
        return _Module((_Statement(text, frozenset(), frozenset(), True, ()),), True)
    reached = {name for statement in statements for name in statement.uses}
    return _Module(statements, bool(reached & REACH_ALL))


def _partials(node: ast.stmt) -> Iterator[str]:
    """The names that `NAME = partial(DECORATOR, ...)` binds."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
        made, of = node.value.func, node.value.args[0]
        names = [each.id for each in (made, of) if isinstance(each, ast.Name)]
        if len(names) == 2 and names[0] == "partial" and names[1] in DECORATORS:
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _statements(node: ast.stmt, partials: frozenset[str]) -> Iterator[_Statement]:
    """The statement, or one statement for each name that it imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            bound = (alias.asname or alias.name).partition(".")[0]
            text = f"import {alias.name} as {alias.asname or ''}"
            yield _Statement(text, frozenset((bound,)), frozenset(), False, ((0, alias.name),), True)
    elif isinstance(node, ast.ImportFrom):
        # The location of a name within the harness does not matter.
        module = HARNESS if _is_harness(node) else f"{'.' * node.level}{node.module or ''}"
        for alias in node.names if node.module != "__future__" else ():
            bound = alias.asname or alias.name
            text = f"from {module} import {alias.name} as {bound}"
            uses = frozenset(("globals",) if bound == "*" else ())
            yield _Statement(text, frozenset((bound,)), uses, False, (*_from(node, alias),), True)
    else:
        yield _statement(node, partials)


def _statement(node: ast.stmt, partials: frozenset[str]) -> _Statement:
    definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    assignment = isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
    binds, uses = set[str](), set[str]()
    imports: list[tuple[int, str]] = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            # Names assigned in a function are local.
            names = binds if isinstance(part.ctx, ast.Store) and not definition else uses
            names.add(part.id)
        elif isinstance(part, ast.Attribute):
            owner = part.value.id if isinstance(part.value, ast.Name) else ""
            if part.attr == "import_module" or (owner, part.attr) == ("sys", "modules"):
                uses.add("globals")
        elif isinstance(part, ast.Global):
            binds |= set(part.names)
        elif isinstance(part, ast.Import):
            imports += [(0, alias.name) for alias in part.names]
        elif isinstance(part, ast.ImportFrom):
            imports += [found for alias in part.names for found in _from(part, alias)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        binds.add(node.name)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        # Setting an attribute or an item changes the object that the name refers to.
        binds |= {name for target in _targets(node) if (name := _base(target))}
    always = not (definition or assignment)
    text = json.dumps(_tree(node, partials))
    return _Statement(text, frozenset(binds), frozenset(uses), always, tuple(imports))


def _is_harness(node: ast.ImportFrom) -> bool:
    return node.level == 0 and (node.module or "").partition(".")[0] == HARNESS


def _from(node: ast.ImportFrom, alias: ast.alias) -> Iterator[tuple[int, str]]:
    module = node.module or ""
    yield node.level, module
    # A name imported from a package can be a module of it.
    yield node.level, f"{module}.{alias.name}".strip(".")


def _targets(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def _base(target: ast.expr) -> str:
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def _tree(node: ast.AST, partials: frozenset[str]) -> list[object]:
    """The node as lists and strings, the same in every Python version that can parse it.

    Leaves out positions, empty fields, which later versions add, and the spelling of literals and names.
    """
    found: list[object] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name in ("ctx", "type_comment", "kind"):
            continue
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = _without_docstring(value)
        elif name == "keywords" and isinstance(node, ast.Call):
            for_people = _for_people(node, partials)
            value = [keyword for keyword in value if keyword.arg not in for_people]
        elif name == "values" and isinstance(node, ast.JoinedStr):
            # Python 3.12 adds empty strings to f-strings.
            value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
        if value not in (None, []):
            found.append([name, _value(value, partials)])
    return found


def _value(value: object, partials: frozenset[str]) -> object:
    if isinstance(value, ast.AST):
        return _tree(value, partials)
    if isinstance(value, list):
        return [_value(each, partials) for each in value]
    # Include the type: 1, 1.0 and True are equal.
    return value if isinstance(value, str) else [type(value).__name__, repr(value)]


def _for_people(call: ast.Call, partials: frozenset[str]) -> frozenset[str]:
    """The keywords of a call that do not affect results."""
    called = call.func.id if isinstance(call.func, ast.Name) else ""
    if called in DECORATORS:
        return FOR_PEOPLE
    return FOR_PEOPLE_IN_PARTIAL if called in partials else frozenset()


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return [
        statement
        for statement in body
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


def _closure(
    own: Source, imports: Iterable[tuple[int, str]], known: Sequence[Source] = ()
) -> tuple[Source, ...]:
    """The file and all neighbouring files that its imports lead to, by name. known: files already read."""
    read_before = {source.file: source for source in known}
    found = {own.file: own}
    waiting = [(own.file, module) for module in imports]
    while waiting:
        importer, (level, name) = waiting.pop()
        for path, file in _modules(importer, level, name):
            if file not in found:
                found[file] = read_before.get(file) or Source(path, file, file.read_bytes())
                waiting += [(file, module) for module in _parsed(found[file].content).imports_of()]
    first, *others = found.values()
    return (first, *sorted(others, key=lambda source: source.name))


def _modules(importer: Path, level: int, name: str) -> Iterator[tuple[str, Path]]:
    """The files that importing a dotted name runs, packages first, with their paths relative to its root."""
    parts = name.split(".") if name else []
    if level:
        package, top = importer.parent, _above_packages(importer)
        for _ in range(level - 1):
            package = package.parent
        inside = package.relative_to(top).parts if package.is_relative_to(top) else ()
        roots, parts = [top], [*inside, *parts]
    else:
        roots = [importer.parent]
        top = _above_packages(importer)
        if parts and top != importer.parent and (top / parts[0]) in importer.parents:
            roots.append(top)
    if not parts or parts[0] == HARNESS:
        return
    for root in roots:
        for end in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:end])
            for file in (place / "__init__.py", place.with_suffix(".py")):
                if file.is_file():
                    yield file.relative_to(root).as_posix(), file.resolve()
                    break


def _above_packages(file: Path) -> Path:
    """The folder that contains a file's outermost package; the file's own folder if it is in no package."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder
