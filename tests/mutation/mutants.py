"""The mutants of impl/'s numeric modules, as cosmic-ray's operators make them, and a random sample of them."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[2]

#: What computes numbers; not what reads arguments and files, builds, converts, or talks to the user.
MODULES = (
    "impl/activation.py",
    "impl/backward.py",
    "impl/curvature.py",
    "impl/forward.py",
    "impl/gauss_newton.py",
    "impl/gram.py",
    "impl/history.py",
    "impl/implementation.py",
    "impl/initialization.py",
    "impl/jacobian.py",
    "impl/loss.py",
    "impl/readout.py",
    "impl/support.py",
    "impl/work.py",
    *(
        path.relative_to(ROOT).as_posix()
        for package in ("kernels", "sketch", "solvers", "weights")
        for path in sorted((ROOT / "impl" / package).glob("*.py"))
    ),
)

# A bit operator on floats is a TypeError, and any test kills it: such mutants would flatter the rate.
TRIVIAL = re.compile(r"Binary\w+_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(RShift|LShift|BitOr|BitAnd|BitXor)$")

Position = tuple[int, int]


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        identity: A hash of module, operator, definition, line and occurrence: the same while that line is.
        module: Its path in the repository.
        operator: Of cosmic-ray.
        line: Its number.
        definition: The function or class that it is in, "" for none.
        difference: The lines it takes away and puts in their place.
        source: All of the mutated module.
    """

    identity: str
    module: str
    operator: str
    line: int
    definition: str
    difference: str
    source: str


def sample(size: int, seed: int, modules: Sequence[str] = MODULES) -> tuple[list[Mutant], int]:
    """Mutants drawn uniformly: those whose identities, hashed with the seed, come first.

    So a mutant stays in the sample while others come and go.

    Returns:
        At most `size` mutants, in the order of the modules, and how many sites they were drawn from.
    """
    found = sorted(
        (hashlib.sha256(f"{seed} {identity}".encode()).hexdigest(), identity, work)
        for identity, work in _sites(modules)
    )
    drawn: list[Mutant] = []
    seen = {module: {_shape(source_of(module))} for module in modules}
    for _, identity, (module, operator, occurrence, line, definition) in found:
        if len(drawn) == size:
            break
        before = source_of(module)
        after = mutate_code(before, get_operator(operator)(), occurrence)
        shape = _shape(after)
        if shape and shape not in seen[module]:  # neither a syntax error nor another one's double
            seen[module].add(shape)
            difference = "\n".join(
                row for row in difflib.ndiff(before.splitlines(), after.splitlines()) if row[:1] in "+-"
            )
            drawn.append(Mutant(identity, module, operator, line, definition, difference, after))
    return sorted(drawn, key=lambda mutant: (modules.index(mutant.module), mutant.line, mutant.identity)), len(found)


def source_of(module: str) -> str:
    """A module's text, unmutated."""
    return (ROOT / module).read_text(encoding="utf-8")


def _sites(modules: Sequence[str]) -> Iterator[tuple[str, tuple[str, str, int, int, str]]]:
    twins: Counter[tuple[str, ...]] = Counter()
    excluded = {module: _excluded(source_of(module)) for module in modules}
    lines = {module: source_of(module).splitlines() for module in modules}
    for item in _all_work_items([ROOT / module for module in modules], {}):
        (work,) = item.mutations
        module = Path(work.module_path).relative_to(ROOT).as_posix()
        if TRIVIAL.search(work.operator_name) or excluded[module](work.start_pos):
            continue
        line, definition = work.start_pos[0], work.definition_name or ""
        key = (module, work.operator_name, definition, lines[module][line - 1].strip())
        twins[key] += 1
        identity = hashlib.sha256(repr((*key, twins[key])).encode()).hexdigest()[:12]
        yield identity, (module, work.operator_name, work.occurrence, line, definition)


def _excluded(source: str) -> Callable[[Position], bool]:
    """Whether a position is in what is never run or never counts: the heads of functions but for their defaults,
    annotations, strings (formatted messages included), protocols, imports for type checkers.
    """
    tree = ast.parse(source)
    ranges: list[tuple[Position, Position]] = []
    defaults: list[tuple[Position, Position]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            ranges.append(((node.lineno, node.col_offset), _start(node.body[0])))
            defaults += [_range(value) for value in (*node.args.defaults, *node.args.kw_defaults) if value]
        elif isinstance(node, ast.AnnAssign):
            ranges.append(_range(node.annotation))
        elif (
            isinstance(node, ast.JoinedStr)
            or (isinstance(node, ast.Constant) and isinstance(node.value, str))
            or (isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Protocol") for base in node.bases))
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ):
            ranges.append(_range(node))

    def inside(position: Position) -> bool:
        return any(low <= position < high for low, high in ranges) and not any(
            low <= position < high for low, high in defaults
        )

    return inside


def _start(node: ast.stmt) -> Position:
    return node.lineno, node.col_offset


def _range(node) -> tuple[Position, Position]:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _shape(source: str | None) -> str:
    """The program without its layout; "" if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as on "is" beside a number
            compile(source, "mutant", "exec")
            return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""
