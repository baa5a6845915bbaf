"""Which definitions of the package does a page reach? Their code, and no other, decides whether its outputs are old.

A definition is a statement at the top of a module: a function, a class with its methods, a constant. It reaches what it
names: other definitions of its module, and what it imports, at the top or inside. A page reaches what its cells import,
also in programs that it writes as text, all that these reach in turn, and the whole command line where it calls it.
"""
import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

package = Path(__file__).resolve().parent.parent / "siamese_nbdev"
command = re.compile(r"""!\s*siamese-nbdev\b|["']siamese_nbdev\.cli["']|["']siamese-nbdev\b""")
Reference = tuple[str, str]  # a module, and a name in it; the empty name stands for the module as a whole


def is_command(node: ast.AST) -> bool:
    "Tell whether a function is a command, whose docstring and annotations are its help and its options."
    decorators = getattr(node, "decorator_list", [])
    called = (one.func for one in decorators if isinstance(one, ast.Call))
    return any(isinstance(one, ast.Attribute) and one.attr in ("command", "callback") for one in called)


def is_text(statement: ast.stmt) -> bool:
    "Tell whether a statement is a string alone, as docstrings are."
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant and isinstance(statement.value.value, str)


def is_for_checkers(statement: ast.stmt) -> bool:
    "Tell whether a statement is for type checkers alone."
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)


def bare(tree: ast.AST) -> ast.AST:
    "Remove what changes no result: docstrings, annotations of functions, imports for type checkers."
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or is_command(node): continue
        kept = [statement for statement in body if not is_for_checkers(statement)]
        node.body = kept[1:] if kept and is_text(kept[0]) else kept
        if not isinstance(node, ast.Module):
            node.body = node.body or [ast.Pass()]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = None
    return tree


def parsed(cell: str) -> ast.Module:
    "Parse a cell, with its magic lines as the calls that they stand for."
    return ast.parse(TransformerManager().transform_cell(cell))


def outline(node: object) -> str:
    "Write a syntax tree down, the same under every version of Python: what is empty is left out."
    if isinstance(node, list):
        return "[" + ",".join(outline(one) for one in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, getattr(node, name, None)) for name in node._fields)
    filled = (f"{name}={outline(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({','.join(filled)})"


def code_digest(cell: str) -> str:
    "Return a digest of what a cell does: comments, blank lines and docstrings do not count."
    return digest_of([outline(bare(parsed(cell)))])


def digest_of(parts: list[str]) -> str:
    "Return one short digest of many texts."
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def imported(tree: ast.AST) -> dict[str, Reference]:
    "Map each name that code imports from the package, anywhere in it, to where it comes from."
    found: dict[str, Reference] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("siamese_nbdev."):
            module = node.module.split(".")[1]
            found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "siamese_nbdev":
            found |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.Import):
            parts = [(alias.asname or alias.name, alias.name.split(".")) for alias in node.names]
            found |= {name: (words[1], "") for name, words in parts if words[0] == "siamese_nbdev" and len(words) > 1}
    return {name: place for name, place in found.items() if (package / f"{place[0]}.py").exists()}


def outside_imports(statement: ast.stmt) -> dict[str, ast.stmt]:
    "Map the names that a statement imports from elsewhere to that import alone."
    if isinstance(statement, ast.Import):
        aliases = [alias for alias in statement.names if alias.name.split(".")[0] != "siamese_nbdev"]
        return {(alias.asname or alias.name).split(".")[0]: ast.Import([alias]) for alias in aliases}
    if isinstance(statement, ast.ImportFrom) and (statement.module or "").split(".")[0] != "siamese_nbdev":
        names = {alias.asname or alias.name: alias for alias in statement.names}
        return {name: ast.ImportFrom(statement.module, [alias], statement.level) for name, alias in names.items()}
    return {}


def names_in(tree: ast.AST) -> set[str]:
    "Return every name that code reads or binds; an annotation in quotes names things too."
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return found | {text for text in texts if text.isidentifier()}


def bound(statement: ast.stmt) -> set[str]:
    "Return the names that a statement at the top of a module defines."
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    names = {node.id for node in stored if isinstance(node.ctx, ast.Store)}
    return names | {node.name for node in ast.walk(statement) if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@cache
def definitions(module: str) -> dict[str, list[ast.stmt]]:
    "Return the statements of a module by the names that they define; under the empty name those that define none."
    tree = bare(ast.parse((package / f"{module}.py").read_text(encoding="utf-8")))
    found: dict[str, list[ast.stmt]] = {"": []}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            for name, brought in outside_imports(statement).items():
                found.setdefault(name, []).append(brought)
            continue
        names = bound(statement)
        if names == {"__all__"}: continue
        for name in names or {""}:
            found.setdefault(name, []).append(statement)
    return found


@cache
def imports_of(module: str) -> dict[str, Reference]:
    "Return what a module imports from the package."
    return imported(ast.parse((package / f"{module}.py").read_text(encoding="utf-8")))


@cache
def reached_from(module: str, name: str) -> set[Reference]:
    "Return what one definition names."
    known, brought = definitions(module), imports_of(module)
    found: set[Reference] = {(module, "")}
    if not name:  # statements that are executed whenever the module is imported
        used = set().union(*(names_in(statement) for statement in known[""]))
    elif name in known:
        used = set().union(*(names_in(statement) for statement in known[name]))
        found |= {place for statement in known[name] for place in imported(statement).values()}
    else:
        return found | ({brought[name]} if name in brought else set())
    found |= {(module, word) for word in used & known.keys()}
    return found | {brought[word] for word in used & brought.keys()}


@cache
def definition_digest(module: str, name: str) -> str:
    "Return a digest of the code of one definition."
    return digest_of([outline(statement) for statement in definitions(module).get(name, [])])


def forget() -> None:
    "Read the package anew from now on."
    for remembered in (definitions, imports_of, reached_from, definition_digest):
        remembered.cache_clear()


def everything(module: str) -> set[Reference]:
    "Return every definition of a module."
    return {(module, name) for name in definitions(module)}


def programs(cells: list[str]) -> Iterator[ast.AST]:
    "Yield the code of cells, and every program that uses the package and that they write as a text."
    for cell in cells:
        tree = parsed(cell)
        yield tree
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "siamese_nbdev" in node.value:
                try:
                    yield ast.parse(node.value)
                except SyntaxError:
                    continue  # a sentence


def reached(cells: list[str]) -> set[Reference]:
    "Return every definition of the package that cells reach."
    waiting: set[Reference] = set()
    for tree in programs(cells):
        for module, name in imported(tree).values():
            is_whole = name in ("", "*") or module == "cli"
            waiting |= everything(module) if is_whole else {(module, name)}
    if any(command.search(cell) for cell in cells):
        waiting |= everything("cli")
    found: set[Reference] = set()
    while waiting:
        place = waiting.pop()
        found.add(place)
        waiting |= reached_from(*place) - found
    return found


def package_digests(cells: list[str]) -> dict[str, str]:
    "Return for each module that cells reach a digest of the definitions that they reach in it."
    codes: dict[str, list[str]] = {}
    for module, name in sorted(reached(cells)):
        codes.setdefault(module, []).append(f"{name} {definition_digest(module, name)}")
    return {module: digest_of(parts)[:8] for module, parts in codes.items()}
