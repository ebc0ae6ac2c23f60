"""How the Gauss–Newton system is solved: alternatives behind one interface, chosen by name."""

from impl.solvers.cholesky import CholeskySolver
from impl.solvers.conjugate_gradients import ConjugateGradientSolver, SketchedConjugateGradientSolver
from impl.solvers.interface import Solution, Solver
from reference.contract import ArgumentError

__all__ = [
    "SOLVERS",
    "CholeskySolver",
    "ConjugateGradientSolver",
    "SketchedConjugateGradientSolver",
    "Solution",
    "Solver",
    "select_solver",
]

#: By name, with their default options.
SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        CholeskySolver(),
        ConjugateGradientSolver(),
        SketchedConjugateGradientSolver(),
        SketchedConjugateGradientSolver(sketch="tensor_sketch"),
    )
}


def select_solver(solver: str | Solver) -> Solver:
    """Returns the solver of a name, or the solver itself.

    Raises:
        ArgumentError: for another name, or something that does not solve.
    """
    if isinstance(solver, str) and solver in SOLVERS:
        return SOLVERS[solver]
    if isinstance(solver, str) or not callable(getattr(solver, "solve", None)):
        raise ArgumentError("solver", "a solver, or one of " + ", ".join(SOLVERS), repr(solver))
    return solver
