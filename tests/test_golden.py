"""Parity with the reference numbers in tests/data."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import DATA

from common.adaptation.synthesis import global_position
from common.datasets.cameras_h36m import h36m_cameras
from common.evaluation import metrics
from common.geometry import camera
from common.geometry.skeleton import H36M_17
from common.model.checkpoint import load_lifter
from common.model.diffusion import Diffusion, cosine_betas, ddim_times
from common.model.lora import LoRALinear, add_lora
from common.model.mixste import MixSTE
from common.reprojection import jpma

DENOISER, REPLAY, EXACT = 3e-5, 1e-4, 1e-6


def assert_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max().item() <= tolerance


def test_denoiser_from_a_released_checkpoint(golden):
    reference = golden("mixste")
    lifter = load_lifter(DATA / "d3dp_tiny.bin")
    with torch.no_grad():
        out = lifter.denoise(reference["x_2d"], reference["x_3d"], reference["t"])
        embedding = lifter.denoiser.time_mlp(reference["t"])
    assert (lifter.frames, lifter.denoiser.channels, lifter.denoiser.depth) == (27, 32, 2)
    assert_near(out, reference["out"], DENOISER)
    assert_near(embedding, reference["time_embedding"], DENOISER)


def test_ddim_replay(golden):
    reference = golden("ddim")
    lifter = load_lifter(DATA / "d3dp_tiny.bin")
    draws = [reference["noise_init"], *reference["noise_steps"]]
    out = lifter.sample(reference["x_2d"], num_proposals=3, sampling_timesteps=5, flip=True, noise=draws)
    assert_near(out, reference["out"], REPLAY)
    assert [time for time, _ in ddim_times(1000, 5)] == reference["times"].tolist()


def test_schedule(golden):
    reference = golden("schedule")
    assert_near(cosine_betas(1000), reference["betas"], EXACT)
    assert_near(Diffusion(1000).alpha_bar, reference["alphas_cumprod"], EXACT)
    for steps in (1, 5, 10):
        assert ddim_times(1000, steps) == [tuple(pair) for pair in reference[f"pairs_K{steps}"].tolist()]
    every = ddim_times(1000, 1000)
    assert every[:3] + every[-3:] == [tuple(pair) for pair in reference["pairs_K1000"].tolist()]


def test_noising_for_training(golden):
    reference = golden("qsample")
    x0, t, noise = reference["x0"], reference["t"], reference["noise"]
    assert_near(Diffusion(1000).add_noise(x0.double(), t, noise.double()), reference["x_t_train"], EXACT)
    assert_near(Diffusion(1000).add_noise(x0, t, noise), reference["x_t_train_f32"], EXACT)


def test_cameras(golden):
    reference = golden("projection")
    for i, published in enumerate(h36m_cameras("S1")):
        assert_near(published.normalised_intrinsics(), reference["intrinsic"][i], EXACT)
        assert published.orientation == pytest.approx(reference["orientation"][i].tolist(), abs=EXACT)
        assert published.translation == pytest.approx(reference["translation"][i].tolist(), abs=EXACT)
        exact = replace(
            published,
            orientation=tuple(reference["orientation"][i].tolist()),
            translation=tuple(reference["translation"][i].tolist()),
        )
        assert_near(camera.world_to_camera(reference["world"][i], exact), reference["camera"][i], EXACT)
        assert_near(camera.camera_to_world(reference["camera"][i], exact), reference["world_back"][i], EXACT)


def test_projection(golden):
    reference = golden("projection")
    points, intrinsics = reference["X"], reference["intrinsic"]
    assert_near(camera.project(points, intrinsics), reference["proj"], EXACT)
    assert_near(camera.project(points, intrinsics, distorted=False), reference["proj_linear"], EXACT)


def test_screen_coordinates(golden):
    reference = golden("projection")
    for width, height in ((1000, 1002), (1920, 1080)):
        normalised = camera.normalise(reference["pixels"], width, height)
        assert_near(normalised, reference[f"normalized_{width}x{height}"], EXACT)
    assert_near(camera.denormalise(reference["normalized_1000x1002"], 1000, 1002), reference["image_1000x1002"], EXACT)


@pytest.fixture
def errors(golden):
    """The hypotheses (B, K, H, F, J, 3) of metrics.npz in double precision, with labels and joint errors."""
    reference = golden("metrics")
    predicted, target = reference["predicted"].double(), reference["target"].double()
    label = target[:, None, None]
    return reference, predicted, target, metrics.joint_errors(predicted, label)


def test_metrics(errors):
    reference, predicted, target, _ = errors
    pose = predicted[:, 0, 0]
    reflected = predicted[:, 1, 2]  # a mirror image of the label, which no rotation can undo
    for name, found in {
        "mpjpe": metrics.joint_errors(pose, target),
        "p_mpjpe": metrics.joint_errors(metrics.procrustes(pose, target), target),
        "p_mpjpe_mirrored": metrics.joint_errors(metrics.procrustes(reflected, target), target),
        "n_mpjpe": metrics.joint_errors(metrics.rescaled(pose, target), target),
        "velocity_axis1": metrics.velocity_errors(pose, target),
        "velocity_axis0_b0": metrics.velocity_errors(pose[0], target[0]),
    }.items():
        assert_near(found.mean(), reference[f"{name}_f64"], EXACT)


def test_aggregations(errors):
    reference, predicted, target, found = errors
    per_step = (0, 2, 3)  # everything but the diffusion step, once the hypotheses are joined
    distance = (reference["reproj_2d"] - reference["target_2d"][:, None, None]).double().norm(dim=-1)
    for k in range(predicted.shape[1]):
        hypotheses = predicted[:, k]  # (B, H, F, J, 3)
        p_agg = metrics.joint_errors(jpma.p_agg(hypotheses), target).mean()
        j_agg = metrics.joint_errors(jpma.pick_joints(hypotheses, distance[:, k]), target).mean()
        j_best = metrics.joint_errors(jpma.j_best(hypotheses, target), target).mean()
        assert_near(p_agg, reference["p_agg_f64"][k], EXACT)
        assert_near(j_agg, reference["j_agg_f64"][k], EXACT)
        assert_near(j_best, reference["j_best_f64"][k], EXACT)
        for b in range(len(target)):  # ours is the best per clip; the reference's is that for a batch of one
            p_best = metrics.joint_errors(jpma.p_best(hypotheses[b : b + 1], target[b : b + 1]), target[b : b + 1])
            assert_near(p_best.mean(), reference[f"p_best_sample{b}_f64"][k], EXACT)
    assert_near(found.mean((0, 3, 4)).amin(1), reference["p_best_f64"], EXACT)
    assert_near(found.amin(2).mean(per_step), reference["j_best_f64"], EXACT)


def test_aggregations_after_procrustes(errors):
    reference, predicted, target, _ = errors
    label = target[:, None, None]
    aligned = metrics.joint_errors(metrics.procrustes(predicted, label), label)
    mean_pose = metrics.joint_errors(metrics.procrustes(predicted.mean(2), label[:, 0]), label[:, 0])
    nearest = (reference["reproj_2d"] - reference["target_2d"][:, None, None]).norm(dim=-1).argmin(2, keepdim=True)
    assert_near(aligned.mean((0, 3, 4)).amin(1), reference["p2_p_best_f64"], EXACT)
    assert_near(mean_pose.mean((0, 2, 3)), reference["p2_p_agg_f64"], EXACT)
    assert_near(aligned.amin(2).mean((0, 2, 3)), reference["p2_j_best_f64"], EXACT)
    assert_near(aligned.gather(2, nearest).mean((0, 2, 3, 4)), reference["p2_j_agg_f64"], EXACT)


@pytest.mark.parametrize("case", ["poseda", "small_source", "large_source"])
def test_global_position(golden, case):
    reference = {key.split(".")[1]: value for key, value in golden("gpa").items() if key.startswith(case)}
    source, target, perm = reference["source_3d"], reference["target_2d"], reference["perm"]
    # The longer side was shuffled with the recorded permutation.
    source, target = (source[perm], target) if len(source) > len(target) else (source, target[perm])
    root = H36M_17.root_index
    pose = source - source[:, root : root + 1]
    intrinsics = torch.cat([reference["camera_params"][:1, :4], torch.zeros(1, 5)], 1)
    position = global_position(pose[None], target[None], intrinsics)[0]
    assert_near(pose + position[:, None], reference["out"], EXACT)


def test_lora(golden):
    reference = golden("lora")
    weights = {key.removeprefix("w."): value for key, value in reference.items() if key.startswith("w.")}
    for scale, name in ((1.0, "out"), (0.5, "out_scale_half")):
        layer = LoRALinear(torch.nn.Linear(32, 96), rank=4, scale=scale)
        layer.load_state_dict(weights)
        assert_near(layer(reference["x"]), reference[name], DENOISER)
        assert_near(layer.merged()(reference["x"]), reference[name], DENOISER)
    assert_near(layer.delta_weight(), reference["delta_weight_scale_half"], EXACT)


def test_lora_goes_where_the_reference_puts_it():
    expected = json.loads((DATA / "lora_modules.json").read_text())["tiny"]
    denoiser = MixSTE(frames=27, joints=17, channels=32, depth=2)
    add_lora(denoiser, rank=4)
    hit = {name for name, module in denoiser.named_modules() if isinstance(module, LoRALinear)}
    assert hit == set(expected["hit"])
    assert sum(p.numel() for p in denoiser.parameters() if p.requires_grad) == expected["trainable"]
