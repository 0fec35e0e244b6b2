"""One synthetic person in the files of every detector: the same 3D poses."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from detector_files import KINDS, SIZE, scene

from common.model.checkpoint import save_checkpoint
from common.model.lifter import Lifter
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.refinement import Refinement
from common.run import footage

ALIKE: dict[str, list[str]] = defaultdict(list)
for kind_name, kind in KINDS.items():
    if kind.sure:  # the confidence weighs
        ALIKE[kind.order].append(kind_name)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    bones = torch.full((17,), 0.25)
    about = {"arguments": {"rate": 5.0}, "refinement": Refinement(SourceBones(bones, bones), 0.005, "limits").to_dict()}
    path = tmp_path_factory.mktemp("model") / "tiny.bin"
    save_checkpoint(path, Lifter(MixSTE(9, 17, 16, 1), virtual_camera=True).eval(), 1, 0.0, about)
    return path


@pytest.mark.parametrize("order", [order for order, names in ALIKE.items() if len(names) > 1])
def test_the_same_person_is_lifted_alike_from_every_format(tmp_path, model, order):
    """Two people with gaps, of whom the one seen longest is lifted; of some files that hold one person, that one."""
    found = {}
    for name in ALIKE[order]:
        made = scene(order)
        folder = tmp_path / name.replace(" ", "_")
        folder.mkdir()
        made.present[:, 1] &= np.arange(len(made.present)) < 5  # both are seen; the first one is seen longer
        path = KINDS[name].write(folder, made)
        flags = ["--size", "x".join(map(str, SIZE)), "--fps", "25", "--write", "npz", "-o", str(folder / "out")]
        footage.main([str(path), "-m", str(model), *flags])
        with np.load(folder / "out" / "poses.npz") as poses:
            found[name] = poses["positions"]
    first, *others = found.values()
    for name, positions in zip(list(found)[1:], others):
        np.testing.assert_allclose(positions, first, atol=1e-5, err_msg=name)
