"""How the code is laid out and who may import whom: `python tools/style.py [notebook ...]`, without names all of them.

Looks at notebooks and at the exported package as text; nothing of the project is run. What is public, in which order
the pages build on each other, and which long functions have a reason stands in `tools/contract.json`.
"""
import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import book

top = Path(__file__).resolve().parent.parent
contract = json.loads((top / "tools" / "contract.json").read_text(encoding="utf-8"))
exported_width = 120
page_width = 100
long_function = 30
most_expressions = 6  # an average line of the field's model code holds 3 to 5; rendering is denser than that


def notebooks() -> list[Path]:
    "List the notebooks of the book."
    paths = (top / "nbs").rglob("*.ipynb")
    return sorted(p for p in paths if not any(part[0] in "._" for part in p.relative_to(top).parts))


def code_cells(page: Path) -> Iterator[tuple[int, str, str]]:
    "Yield number, directive (`export`, `exports`, `exporti` or nothing) and source of each code cell."
    for number, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        found = re.search(r"^#\|\s*(exports|exporti|export)\b", source, re.M)
        yield number, found[1] if found else "", re.sub(r"^\s*[%!].*$", "", source, flags=re.M)


def is_guard(node: ast.stmt) -> bool:
    "Tell whether a compound statement is a guard, which may stay on one line."
    leaves = (ast.Return, ast.Raise, ast.Continue, ast.Break)
    return isinstance(node, ast.If) and not node.orelse and len(node.body) == 1 and isinstance(node.body[0], leaves)


def joined_lines(tree: ast.AST) -> Iterator[tuple[int, str]]:
    "Find statements that share a line with another."
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if not isinstance(block, list) or not block:
                continue
            for first, second in zip(block, block[1:], strict=False):
                if second.lineno == first.end_lineno:
                    yield second.lineno, "two statements on one line"
            if isinstance(node, ast.Module) or is_guard(node):
                continue
            header = colon_line(node) if field == "body" else None
            if header == block[0].lineno:
                yield block[0].lineno, "a block on the line of its header (only guards may)"


def colon_line(node: ast.AST) -> int | None:
    "Return the line on which the header of a block ends."
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        ends = [node.lineno, *(a.end_lineno or 0 for a in ast.walk(node.args) if isinstance(a, ast.expr | ast.arg))]
        return max([*ends, node.returns.end_lineno or 0 if node.returns else 0])
    if isinstance(node, ast.ClassDef):
        return max([node.lineno, *(base.end_lineno or 0 for base in node.bases)])
    if isinstance(node, ast.If | ast.While):
        return node.test.end_lineno
    if isinstance(node, ast.For | ast.AsyncFor):
        return node.iter.end_lineno
    if isinstance(node, ast.With | ast.AsyncWith):
        return max(end for item in node.items if (end := (item.optional_vars or item.context_expr).end_lineno))
    if isinstance(node, ast.Try):
        return node.lineno
    if isinstance(node, ast.ExceptHandler):
        return node.type.end_lineno if node.type else node.lineno
    return None


def dense_lines(tree: ast.AST) -> Iterator[tuple[int, str]]:
    "Find unrelated values unpacked from one tuple, and conditionals inside conditionals."
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and not is_swap(target, node.value):
                    yield node.lineno, "values unpacked from one tuple: one assignment a line"
        if isinstance(node, ast.IfExp):
            if any(isinstance(inner, ast.IfExp) for part in (node.body, node.orelse) for inner in ast.walk(part)):
                yield node.lineno, "a conditional inside a conditional: write an if"


def is_swap(target: ast.Tuple, value: ast.Tuple) -> bool:
    "Tell whether a tuple is assigned to its own parts in another order."
    return sorted(map(ast.unparse, target.elts)) == sorted(map(ast.unparse, value.elts))


def long_functions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    "Find functions whose body, docstring left out, is longer than allowed and has no reason on the list."
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.name in contract["long_functions"]:
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if lines > long_function:
            yield node.lineno, f"{node.name} has {lines} lines; more than {long_function} want a reason in the contract"


def names_defined(tree: ast.Module) -> list[str]:
    "List what a cell defines at its top level, imports left out."
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return names


def cell_problems(page: Path) -> Iterator[str]:
    "Say what is laid out otherwise than agreed in a notebook."
    public = [name for names in contract["public"].values() for name in names]
    for number, kind, source in code_cells(page):
        where = f"{page.relative_to(top)} cell {number}"
        width = exported_width if kind else page_width
        for line in source.splitlines():
            if len(line) > width:
                yield f"{where}: a line of {len(line)} characters, more than {width}: {line.strip()[:60]}..."
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            yield f"{where}: {error}"
            continue
        found = list(joined_lines(tree))
        if kind:
            found += [*dense_lines(tree), *long_functions(tree)]
        for line, text in found:
            yield f"{where} line {line}: {text}: {source.splitlines()[line - 1].strip()[:60]}"
        names = names_defined(tree)
        if kind in ("export", "exports") and (len(set(names)) != 1 or names[0] not in public):
            listed = ", ".join(names) or "no name"
            yield f"{where}: #| {kind} takes one public name, got {listed}; helpers go to #| exporti"


def fold_problems(page: Path) -> Iterator[str]:
    "Name the cells of machinery that are not folded, and those of the lesson that are."
    for number, cell in enumerate(json.loads(page.read_text(encoding="utf-8"))["cells"]):
        wanted = {"source_hidden": True} if book.is_machinery(cell) else {}
        if cell["metadata"].get("jupyter", {}) != wanted:
            yield f"{page.relative_to(top)} cell {number}: run `python tools/book.py --fold`"


def exported_names(tree: ast.Module) -> list[str]:
    "Read `__all__` of a module."
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return sorted(ast.literal_eval(node.value))
    return []


def public_problems() -> Iterator[str]:
    "Compare `__all__` of every module with the contract."
    files = {file.stem: file for file in sorted((top / "siamese_nbdev").glob("[a-z]*.py"))}
    for module in contract["public"].keys() - files.keys():
        yield f"siamese_nbdev/{module}.py is promised and not there"
    for module, file in files.items():
        names = set(exported_names(ast.parse(file.read_text(encoding="utf-8"))))
        wanted = set(contract["public"].get(module, []))
        if names != wanted:
            more = sorted(names - wanted)
            less = sorted(wanted - names)
            yield f"siamese_nbdev/{file.name}: public without a contract: {more}, promised and missing: {less}"


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    "Yield module and name of what a cell imports from the package; the name is empty where it is the module itself."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "siamese_nbdev":
            module = (node.module or "").removeprefix("siamese_nbdev").removeprefix(".")
            for alias in node.names:
                yield (module, alias.name) if module else (alias.name, "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("siamese_nbdev."):
                    yield alias.name.removeprefix("siamese_nbdev."), ""


def import_fault(own: str, is_exported: bool, module: str, name: str) -> str:
    "Say what is wrong with an import in a cell of the page that exports `own`; empty where nothing is."
    order = contract["order"]
    workshops = contract["workshops"]
    if module == "__version__":
        return ""
    if module not in order + workshops:
        return f"imports {module}, which the contract does not know"
    if own in workshops and is_exported:
        return f"a workshop imports {module}, but workshops stand alone"
    if own in order and module in order and order.index(module) > order.index(own):
        return f"{own} imports {module}, which comes later"
    if own in contract["serving"] and module == "training" and is_exported:
        return f"{own} imports training; serving must not"
    if not is_exported and module != own and name and name not in contract["public"][module]:
        return f"the page uses {module}.{name}, which is not public"
    return ""


def import_problems() -> Iterator[str]:
    "Every page, in exported cells and others alike, imports only what comes before it, and pages use public names."
    for page in notebooks():
        cells = list(code_cells(page))
        found = re.search(r"^#\|\s*default_exp\s+(\w+)", "\n".join(source for _, _, source in cells), re.M)
        own = found[1] if found else ""
        for number, kind, source in cells:
            try:
                tree = ast.parse(source)
            except SyntaxError:  # told by cell_problems
                continue
            for module, name in imported(tree):
                if fault := import_fault(own, bool(kind), module, name):
                    yield f"{page.relative_to(top)} cell {number}: {fault}"


def density(file: Path) -> float:
    "Return how many expressions an average line of code holds."
    text = file.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    return sum(isinstance(node, ast.expr) for node in ast.walk(ast.parse(text))) / max(1, len(lines))


def density_problems() -> Iterator[str]:
    "Name the modules whose average line holds too much."
    for file in sorted((top / "siamese_nbdev").glob("[a-z]*.py")):
        held = density(file)
        if held > most_expressions:
            yield f"siamese_nbdev/{file.name}: {held:.1f} expressions a line, more than {most_expressions}"


def main(names: list[str]) -> int:
    pages = [Path(name).resolve() for name in names] or notebooks()
    problems = [problem for page in pages for problem in cell_problems(page)]
    if not names:
        problems += [*public_problems(), *import_problems(), *density_problems()]
    print("\n".join(problems))
    for file in sorted((top / "siamese_nbdev").glob("[a-z]*.py")):
        print(f"{density(file):5.1f} expressions a line in {file.name}")
    print(f"{len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
