"""The floors of `common`: an import never points to a higher one, nor to the same room from outside."""

import ast
from pathlib import Path

COMMON = Path(__file__).parents[1] / "common"
# The ground floor first.
FLOORS = (
    "geometry datasets keypoints video motion viewer mocap sample model reprojection adaptation footage evaluation "
    "openmodel run"
).split()


def test_imports_point_downwards():
    assert set(FLOORS) == {path.parent.name for path in COMMON.glob("*/__init__.py")}
    for path in COMMON.glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level or not (node.module or "").startswith("common"), f"{path}: absolute import"
                room = (node.module or "").split(".")[0] if node.level == 2 else ""
                assert room not in FLOORS[FLOORS.index(path.parent.name) :], f"{path}: imports {room}"
