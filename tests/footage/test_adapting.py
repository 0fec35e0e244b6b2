"""`--adapt`: a lifter learns one person from the 2D alone, is kept only where it helps, and goes into a small file."""

import copy
from dataclasses import replace

import pytest
import torch
from bodies import video
from scripts import full_disk

from common.errors import InputError
from common.footage import adapting
from common.footage.adapter import KnownPerson, load_adapter, save_adapter
from common.footage.adapting import adapt, label_free_scores, no_worse, part_of_the_way
from common.model.checkpoint import load_lifter, weights_hash
from common.model.lifter import Lifter
from common.model.open import open_checkpoint
from common.reprojection.bones import bone_lengths
from common.run.models import stored_refinement

RATE = 5.0
LENGTHS = bone_lengths([video(9)])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Less work than is worth doing in earnest."""
    monkeypatch.setattr(adapting, "BATCH_SIZE", 4)
    monkeypatch.setattr(adapting, "PHASES", 1)
    monkeypatch.setattr(adapting, "SNAPSHOTS", 1)


@pytest.fixture(scope="module")
def source():
    return [replace(video(60, seed=seed), fps=10.0, confidence=torch.ones(60, 17)) for seed in (1, 2)]


@pytest.fixture(scope="module")
def target():
    return replace(video(90, seed=7), subject="me", fps=30.0, confidence=torch.ones(90, 17)).unlabelled()


@pytest.fixture(scope="module")
def lifter():
    return load_lifter(open_checkpoint()).eval()


@pytest.fixture(scope="module")
def refinement():
    found = stored_refinement(open_checkpoint())
    assert found is not None
    return found


def test_scores_fall_and_the_adapted_lifter_is_kept(lifter, refinement, source, target):
    start = weights_hash(lifter)
    lines: list[str] = []
    found = adapt(lifter, refinement, [target], LENGTHS, RATE, source, steps=30, said=lines.append)
    assert len(lines) == adapting.SNAPSHOTS and "reprojection" in lines[0]
    assert found.kept and no_worse(found.before, found.after)
    assert found.after["reprojection"] < 0.95 * found.before["reprojection"]
    assert found.before == label_free_scores(lifter, [target], RATE, LENGTHS) and weights_hash(lifter) == start
    again = label_free_scores(found.lifter, [target], RATE, LENGTHS)
    assert again == pytest.approx(found.after, rel=1e-5)


def test_the_same_seed_gives_the_same_and_labels_are_not_read(lifter, refinement, source, target):
    one, same = (adapt(lifter, refinement, [target], LENGTHS, RATE, source, 6, said=list) for _ in range(2))
    assert one.after == same.after and weights_hash(one.lifter) == weights_hash(same.lifter)
    assert not hasattr(target, "pose")
    other = adapt(lifter, refinement, [target], LENGTHS, RATE, source, 6, seed=1, said=list)
    assert weights_hash(other.lifter) != weights_hash(one.lifter) or not other.kept


def test_what_harms_is_not_kept(monkeypatch, lifter, refinement, source, target):
    """Steps that are far too large."""
    monkeypatch.setattr(adapting, "LEARNING_RATE", 30.0)
    found = adapt(lifter, refinement, [target], LENGTHS, RATE, source, 6, said=list)
    assert not found.kept and found.lifter is lifter and not no_worse(found.before, found.after)


def test_part_of_the_way_lies_between(lifter):
    other = changed(lifter)
    found = part_of_the_way(lifter, other).denoiser.state_dict()
    for name, value in lifter.denoiser.state_dict().items():
        between = (1 - adapting.KEPT) * value + adapting.KEPT * other.denoiser.state_dict()[name]
        torch.testing.assert_close(found[name], between)


def test_no_score_may_rise():
    before = {"a": 1.0, "b": 2.0}
    assert no_worse(before, {"a": 0.9, "b": 2.0}) and no_worse(before, {"a": 0.9, "b": 2.09})
    assert not no_worse(before, {"a": 0.1, "b": 2.11}) and not no_worse(before, dict(before))


def changed(lifter: Lifter) -> Lifter:
    torch.manual_seed(1)
    other = copy.deepcopy(lifter)
    noise = {name: value + 0.01 * torch.randn_like(value) for name, value in lifter.denoiser.state_dict().items()}
    other.denoiser.load_state_dict(noise)
    return other


def test_an_adapter_brings_the_adapted_lifter_back(tmp_path, lifter, refinement):
    adapted = changed(lifter)
    person = KnownPerson(replace(refinement, noise=0.007), LENGTHS)
    save_adapter(tmp_path / "adapter.bin", lifter, adapted, person, {"person": "0"})
    found, known = load_adapter(tmp_path / "adapter.bin", lifter)
    assert known.refinement.noise == 0.007 and torch.equal(known.lengths, LENGTHS)
    for mine, theirs in zip(found.denoiser.state_dict().values(), adapted.denoiser.state_dict().values()):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_an_adapter_of_another_checkpoint_or_another_file_is_refused(tmp_path, lifter, refinement):
    path = tmp_path / "adapter.bin"
    save_adapter(path, lifter, changed(lifter), KnownPerson(refinement, LENGTHS), {})
    with pytest.raises(InputError, match="belongs to another checkpoint"):
        load_adapter(path, changed(lifter))
    content = torch.load(path, weights_only=True)
    name = next(iter(content["changes"]))
    for change in (torch.zeros(3), content["changes"][name] * torch.inf, "x"):
        torch.save(content | {"changes": {name: change}}, path)
        with pytest.raises(InputError, match="does not fit the checkpoint"):
            load_adapter(path, lifter)
    torch.save(content | {"refinement": None}, path)
    with pytest.raises(InputError, match="refinement"):
        load_adapter(path, lifter)
    for lengths in ([1.0], None, ["a"] * 17, [-1.0] * 17, [0.0] * 17, [10**40] * 17):
        torch.save(content | {"lengths": lengths}, path)
        with pytest.raises(InputError, match="bone lengths of a person"):
            load_adapter(path, lifter)
    torch.save({"model_pos": {}}, path)
    with pytest.raises(InputError, match="expected an adapter"):
        load_adapter(path, lifter)
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match="refused|damaged"):
        load_adapter(path, lifter)


def test_an_adapter_that_cannot_be_written_is_one_line(tmp_path, lifter, refinement):
    person = KnownPerson(refinement, LENGTHS)
    with full_disk(), pytest.raises(InputError, match="adapter.bin: cannot be written"):
        save_adapter(tmp_path / "adapter.bin", lifter, changed(lifter), person, {})
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        save_adapter(tmp_path / "file" / "adapter.bin", lifter, changed(lifter), person, {})
