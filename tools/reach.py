"""Which definitions of the package does a page reach? Their code, and no other, decides whether its outputs are old.

A definition is a statement at the top of a module: a function, a class with its methods, a constant. It reaches what it
names: other definitions of its module, and what it imports from the package, at the top or inside. A page reaches what
its cells import, all that these reach in turn, and the whole command line where it calls it.
"""
import ast
import hashlib
import re
from functools import cache
from pathlib import Path

package = Path(__file__).resolve().parent.parent / "siamese_nbdev"
magic = re.compile(r"^\s*[%!].*$", re.M)
command = re.compile(r"""^\s*!\s*siamese-nbdev\b|["']siamese_nbdev\.cli["']""", re.M)
Reference = tuple[str, str]  # a module, and a name in it; the empty name stands for the module as a whole


def without_docstrings(tree: ast.AST) -> ast.AST:
    "Remove docstrings, which change no result."
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                node.body = body[1:] or [ast.Pass()]
    return tree


def outline(node: object) -> str:
    "Write a syntax tree down, the same under every version of Python: what is empty is left out."
    if isinstance(node, list):
        return "[" + ",".join(outline(one) for one in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, getattr(node, name, None)) for name in node._fields)
    filled = (f"{name}={outline(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({','.join(filled)})"


def code_digest(source: str) -> str:
    "Return a digest of what code does: comments, blank lines and docstrings do not count."
    plain = magic.sub("", source)
    try:
        plain = outline(without_docstrings(ast.parse(plain)))
    except SyntaxError:
        pass
    return hashlib.sha256((plain + "".join(magic.findall(source))).encode()).hexdigest()


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
    tree = without_docstrings(ast.parse((package / f"{module}.py").read_text(encoding="utf-8")))
    found: dict[str, list[ast.stmt]] = {"": []}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom): continue
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


def everything(module: str) -> set[Reference]:
    "Return every definition of a module."
    return {(module, name) for name in definitions(module)}


def reached(source: str) -> set[Reference]:
    "Return every definition of the package that code reaches."
    tree = ast.parse(magic.sub("", source))
    waiting: set[Reference] = set()
    for module, name in imported(tree).values():
        waiting |= {(module, name)} if name and name != "*" else everything(module)
    if command.search(source):
        waiting |= everything("cli")
    found: set[Reference] = set()
    while waiting:
        place = waiting.pop()
        found.add(place)
        waiting |= reached_from(*place) - found
    return found


def package_digest(source: str) -> str:
    "Return a digest of the code of every definition that a page reaches."
    codes = []
    for module, name in sorted(reached(source)):
        codes += [f"{module}.{name} {outline(statement)}" for statement in definitions(module).get(name, [])]
    return digest_of(codes)
