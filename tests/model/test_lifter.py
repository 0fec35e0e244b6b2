"""The denoiser, the diffusion process and the sampler."""

import math
from dataclasses import replace

import pytest
import torch
from bodies import batch, cameras, poses

from common.datasets.clips import Batch
from common.geometry.camera import denormalise, mirror_intrinsics, project, rotation_about
from common.geometry.skeleton import H36M_17, MPI_3DHP_17, convert, mirror
from common.model import mixste
from common.model.diffusion import CLAMP, Diffusion, cosine_betas, ddim_times
from common.model.lifter import POSE_SPREAD, Lifter
from common.model.mixste import CHUNK_VALUES, FEW_TOKENS, Block, MixSTE, SinusoidalEmbedding, attend

B, T, J, H, K = 3, 4, len(H36M_17.joints), 3, 3
CLOSE = {"atol": 2e-6, "rtol": 0}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, J, 16, 2), timesteps=50).eval()


@pytest.fixture(scope="module")
def x_2d() -> torch.Tensor:
    return torch.randn(B, T, J, 2, generator=rng()) / 3


@pytest.fixture(scope="module")
def noise() -> list[torch.Tensor]:
    return list(torch.randn(K, B, H, T, J, 3, generator=rng(1)))


def sample(lifter: Lifter, x_2d: torch.Tensor, noise: list[torch.Tensor], flip: bool = True) -> torch.Tensor:
    return lifter.sample(x_2d, noise[0].shape[1], len(noise), flip, noise=noise)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_sample_keeps_every_step_of_every_hypothesis(lifter, x_2d, steps):
    found = lifter.sample(x_2d, H, steps, generator=rng())
    assert found.shape == (B, steps, H, T, J, 3)
    assert not found.requires_grad
    assert found.abs().max() <= CLAMP


@pytest.mark.parametrize("flip", [False, True])
def test_one_hypothesis_is_a_slice_of_many(lifter, x_2d, noise, flip):
    many = sample(lifter, x_2d, noise, flip)
    for h in range(H):
        one = sample(lifter, x_2d, [draw[:, h : h + 1] for draw in noise], flip)
        torch.testing.assert_close(one, many[:, :, h : h + 1], **CLOSE)
    assert (many[:, :, 0] - many[:, :, 1]).abs().max() > 1e-3  # the draws do tell hypotheses apart


def test_clips_of_a_batch_do_not_see_each_other(lifter, x_2d, noise):
    together = sample(lifter, x_2d, noise)
    for b in range(B):
        alone = sample(lifter, x_2d[b : b + 1], [draw[b : b + 1] for draw in noise])
        torch.testing.assert_close(alone, together[b : b + 1], **CLOSE)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_flip_averaging_commutes_with_mirroring(lifter, x_2d, noise):
    found = sample(lifter, x_2d, noise)
    mirrored = sample(lifter, mirror(x_2d), [mirror(draw) for draw in noise])
    torch.testing.assert_close(mirrored, mirror(found), **CLOSE)
    plain = sample(lifter, x_2d, noise, flip=False)
    unlike = sample(lifter, mirror(x_2d), [mirror(draw) for draw in noise], flip=False)
    assert (unlike - mirror(plain)).abs().max() > 1e-3  # without flips it does not


def test_a_run_can_be_replayed_from_its_draws(lifter, x_2d):
    shape = (B, H, T, J, 3)
    generator = rng(5)
    draws = [torch.randn(shape, generator=generator) for _ in range(K)]
    drawn = lifter.sample(x_2d, H, K, generator=rng(5))
    assert torch.equal(sample(lifter, x_2d, draws), drawn)


def test_the_generator_alone_decides(lifter, x_2d):
    torch.manual_seed(1)
    first = lifter.sample(x_2d, H, K, generator=rng(7))
    torch.manual_seed(2)
    assert torch.equal(lifter.sample(x_2d, H, K, generator=rng(7)), first)
    assert not torch.equal(lifter.sample(x_2d, H, K, generator=rng(8)), first)


def test_pixels_are_refused_and_normalised_coordinates_are_not(lifter, x_2d):
    for width, height in ((1000, 1002), (1920, 1080)):
        with pytest.raises(ValueError, match="look like pixels"):
            lifter.sample(denormalise(x_2d, width, height), 1, 1)
    assert lifter.sample(x_2d, 1, 1).isfinite().all()
    outliers = x_2d.clone()
    outliers[:, :, :5] = 1000  # a detector that fails now and then does not make pixels of the rest
    assert lifter.sample(outliers, 1, 1).isfinite().all()


def test_wrong_draws_are_refused(lifter, x_2d, noise):
    wrong = [
        noise[:-1],
        [*noise, noise[0]],
        [noise[0][:, :1], *noise[1:]],
        [*noise[:-1], noise[-1][:1]],
        [draw[..., :2] for draw in noise],
    ]
    for draws in wrong:
        with pytest.raises(ValueError, match=f"expected {K} draws"):
            lifter.sample(x_2d, H, K, noise=draws)


def test_wrong_frames_or_joints_are_refused_with_both_numbers(lifter, x_2d):
    for clip in (x_2d[:, :-1], x_2d[:, :, :-1]):
        with pytest.raises(ValueError) as caught:
            lifter.sample(clip)
        assert str((T, J)) in str(caught.value)
        assert str(tuple(clip.shape[1:3])) in str(caught.value)
    with pytest.raises(ValueError):
        lifter.denoise(x_2d, torch.zeros(B, 1, T + 1, J, 3), torch.zeros(B, dtype=torch.long))


def test_every_input_matters(lifter, x_2d):
    x_3d, t = torch.randn(B, H, T, J, 3, generator=rng()), torch.tensor([3, 20, 40])
    found = lifter.denoise(x_2d, x_3d, t)
    assert found.shape == x_3d.shape
    moved_2d, moved_3d = x_2d.clone(), x_3d.clone()
    moved_2d[0, 0, 0] += 0.1  # reaches every joint and frame of its clip
    moved_3d[0, 1, 0, 0] += 0.1
    assert ((lifter.denoise(moved_2d, x_3d, t) - found)[0].abs().amax(-1) > 0).all()
    moved = (lifter.denoise(x_2d, moved_3d, t) - found).abs().amax(-1)
    assert (moved[0, 1] > 0).all()
    torch.testing.assert_close(moved[0, 0], torch.zeros(T, J), **CLOSE)
    assert (lifter.denoise(x_2d, x_3d, t + 1) - found).abs().max() > 0


def test_drop_path_acts_only_while_training(x_2d):
    torch.manual_seed(0)
    denoiser = MixSTE(T, J, 16, 3, drop_path=0.5)
    rates = [[block.drop_path.drop_prob for block in blocks] for blocks in (denoiser.STEblocks, denoiser.TTEblocks)]
    assert rates == [[0, 0.25, 0.5]] * 2
    inputs = x_2d, torch.randn(B, 1, T, J, 3, generator=rng()), torch.zeros(B, dtype=torch.long)
    with torch.no_grad():
        assert not torch.equal(denoiser.train()(*inputs), denoiser(*inputs))
        still = denoiser.eval()(*inputs)
        assert torch.equal(still, denoiser(*inputs))
        denoiser.set_drop_path(0.0)
        assert torch.equal(still, denoiser.train()(*inputs))


def test_stochastic_depth_leaves_out_whole_sets_of_tokens():
    """All joints of a frame in a spatial block, all frames of a joint in a temporal one; one by one, not by clip."""
    torch.manual_seed(0)
    block, x = Block(16, 8, 32).train(), torch.randn(2, 40, J, 16)
    block.drop_path.drop_prob = 0.5
    for layout in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
        same = (block(layout) == layout).flatten(2)  # both branches left out: a quarter of the sets
        assert torch.equal(same.all(-1), same.any(-1))
        assert (same.all(-1).sum(1) > 0).all()
        assert 0.1 < same.all(-1).float().mean() < 0.4


@pytest.mark.parametrize("tokens", [1, 5, FEW_TOKENS, FEW_TOKENS + 1])
def test_attention_is_that_of_pytorch(tokens):
    inputs = torch.randn(3, 2, 8, tokens, 4, generator=rng())
    found, expected = [], []
    for function, results in ((attend, found), (torch.nn.functional.scaled_dot_product_attention, expected)):
        leaf = inputs.clone().requires_grad_()
        results.append(function(*leaf))
        results[0].square().sum().backward()
        results += [leaf.grad, function(*inputs)]  # the last without gradients
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_clips_sent_through_in_chunks_come_out_the_same(lifter, x_2d, monkeypatch):
    x_3d, t = torch.randn(B, H, T, J, 3, generator=rng()), torch.tensor([3, 20, 40])
    whole = lifter.denoiser(x_2d, x_3d, t)  # with a gradient there are no chunks
    clip = T * J * lifter.denoiser.channels
    for values in (1, 2 * clip, 5 * clip, 100 * clip):
        monkeypatch.setitem(CHUNK_VALUES, "cpu", values)
        with torch.no_grad():
            torch.testing.assert_close(lifter.denoiser(x_2d, x_3d, t), whole, **CLOSE)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_blocks_in_pieces_have_the_same_gradients(x_2d, monkeypatch, checkpointing):
    torch.manual_seed(0)
    denoiser = MixSTE(T, J, 16, 2, drop_path=0.0).train()
    denoiser.gradient_checkpointing = checkpointing
    sizes = []
    denoiser.STEblocks[0].register_forward_hook(lambda block, args, out: sizes.append(out.shape[1]))
    gradients = []
    for values in (T * J * 16, T * J * 16 // 2):
        monkeypatch.setattr(mixste, "PIECE_VALUES", values)
        denoiser.zero_grad()
        denoiser(x_2d, torch.ones(B, 1, T, J, 3), torch.zeros(B)).square().mean().backward()
        gradients.append([p.grad for p in denoiser.parameters()])
    assert sizes[0] == T and sizes[-2:] == [T // 2, T // 2]
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, **CLOSE)


def test_computing_activations_again_changes_no_gradient(x_2d):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        denoiser = MixSTE(T, J, 16, 2, drop_path=0.5).train()
        denoiser.gradient_checkpointing = checkpointing
        torch.manual_seed(1)
        denoiser(x_2d, torch.ones(B, 1, T, J, 3), torch.zeros(B)).square().sum().backward()
        gradients.append([p.grad for p in denoiser.parameters()])
    assert all(g is not None for g in gradients[0])
    for one, other in zip(*gradients):
        assert torch.equal(one, other)


def test_reordered_joints_give_the_same_poses(x_2d):
    """A network trained on 3DHP's order, put into Human3.6M's, gives what it gave, joint by joint."""
    torch.manual_seed(0)
    denoiser = MixSTE(T, J, 16, 2).eval()
    x_3d, t = torch.randn(B, H, T, J, 3, generator=rng()), torch.tensor([3, 20, 40])
    before = denoiser(convert(x_2d, H36M_17, MPI_3DHP_17), convert(x_3d, H36M_17, MPI_3DHP_17), t)
    denoiser.reorder_joints(MPI_3DHP_17)
    after = denoiser(x_2d, x_3d, t)
    torch.testing.assert_close(after, convert(before, MPI_3DHP_17, H36M_17), **CLOSE)
    assert (after - before).abs().max() > 1e-3
    assert isinstance(denoiser.Spatial_pos_embed, torch.nn.Parameter)


def test_papers_size():
    one, two = (sum(p.numel() for p in MixSTE(243, J, 512, depth).parameters()) for depth in (1, 2))
    assert one + 7 * (two - one) == pytest.approx(34.8e6, rel=0.005)  # depth 8


def test_sinusoid():
    width, t = 16, torch.tensor([0, 1, 7, 999])
    found = SinusoidalEmbedding(width)(t)
    for row, time in zip(found, t.tolist()):
        for i in range(width // 2):
            angle = time * math.exp(-i * math.log(10000) / (width // 2 - 1))
            assert row[i].item() == pytest.approx(math.sin(angle), abs=1e-4)
            assert row[i + width // 2].item() == pytest.approx(math.cos(angle), abs=1e-4)


# The virtual camera.

NEAR = {"atol": 2e-5, "rtol": 0}  # single precision through a turn and back


@pytest.fixture(scope="module")
def looking() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, J, 16, 2), timesteps=50, virtual_camera=True).eval()


@pytest.fixture(scope="module")
def clips() -> Batch:
    exact = batch(B, T)
    return replace(exact, keypoints=exact.keypoints.float(), intrinsics=exact.intrinsics.float())


def noisy_poses(seed: int = 0) -> torch.Tensor:
    return torch.randn(B, H, T, J, 3, generator=rng(seed))


def test_a_virtual_camera_needs_the_real_ones_intrinsics(looking, clips):
    with pytest.raises(ValueError, match="needs the intrinsics"):
        looking.denoise(clips.keypoints, noisy_poses(), torch.zeros(B, dtype=torch.long))
    with pytest.raises(ValueError, match="needs the intrinsics"):
        looking.sample(clips.keypoints, H, 1)


def test_without_a_virtual_camera_intrinsics_change_nothing(lifter, x_2d, noise):
    found = lifter.sample(x_2d, H, K, noise=noise, intrinsics=cameras()[:B].float())
    assert torch.equal(found, sample(lifter, x_2d, noise))


def test_a_turned_camera_sees_the_turned_pose(looking):
    """Ideal cameras in one place, one turned towards or away from a person whose root stays where it is."""
    ideal = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0, 0], dtype=torch.float64).expand(B, 9)
    place = torch.tensor([[0.6, 0.2, 5.0], [-1.0, 0.3, 4.0], [0.0, -0.4, 6.0]], dtype=torch.float64)
    points = poses(B, T) + place[:, None, None]
    across = torch.linalg.cross(place, torch.tensor([0.0, 0, 1], dtype=torch.float64).expand(B, 3))
    across = torch.nn.functional.normalize(across, dim=-1)
    turn = rotation_about(across, torch.tensor([0.1, -0.15, 0.2], dtype=torch.float64))[:, None]  # (B, 1, 3, 3)
    t, noisy = torch.tensor([3, 20, 40]), noisy_poses()
    here, there = project(points, ideal).float(), project(points @ turn.mT, ideal).float()
    ideal, turn = ideal.float(), turn.float()[:, None]
    found = looking.denoise(here, noisy, t, ideal)
    turned = looking.denoise(there, noisy @ turn.mT, t, ideal)
    torch.testing.assert_close(turned, found @ turn.mT, **NEAR)
    assert (turned - found).abs().amax((1, 2, 3, 4)).min() > 1e-3
    plain = Lifter(looking.denoiser, timesteps=50)
    found, turned = plain.denoise(here, noisy, t), plain.denoise(there, noisy @ turn.mT, t)
    assert (turned - found @ turn.mT).abs().max() > 1e-3  # without it, this does not hold


def test_the_network_is_shown_the_pose_in_the_virtual_cameras_axes(looking, clips, monkeypatch):
    """A denoiser that gives its input back must give it back in the real camera's axes."""
    monkeypatch.setattr(looking.denoiser, "forward", lambda seen, x_3d, t: x_3d)
    noisy = noisy_poses()
    found = looking.denoise(clips.keypoints, noisy, torch.zeros(B, dtype=torch.long), clips.intrinsics)
    torch.testing.assert_close(found, noisy, **NEAR)


def test_flip_averaging_commutes_with_mirroring_camera_and_all(looking, clips):
    noise = [0.3 * noisy_poses(seed) for seed in range(K)]
    here, there = (clips.keypoints, clips.intrinsics), (mirror(clips.keypoints), mirror_intrinsics(clips.intrinsics))
    mirrored = [mirror(draw) for draw in noise]
    for flip in (True, False):
        found = looking.sample(here[0], H, K, flip, noise=noise, intrinsics=here[1])
        other = looking.sample(there[0], H, K, flip, noise=mirrored, intrinsics=there[1])
        gap = (other - mirror(found)).abs().max()
        assert gap < 2e-5 if flip else gap > 1e-3
    found, unlike = (
        looking.sample(x, H, K, True, noise=n, intrinsics=here[1]) for x, n in ((here[0], noise), (there[0], mirrored))
    )
    assert (unlike - mirror(found)).abs().max() > 1e-4  # the camera belongs to the image


def test_gradients_pass_through_the_virtual_camera(looking, clips):
    looking.zero_grad()
    looking.denoise(clips.keypoints, noisy_poses(), torch.zeros(B, dtype=torch.long), clips.intrinsics).sum().backward()
    grads = [p.grad for p in looking.parameters() if p.grad is not None]
    assert grads and all(g.isfinite().all() for g in grads) and any((g != 0).any() for g in grads)


# The plain regressor.


@pytest.mark.parametrize("virtual_camera", [False, True])
def test_a_deterministic_lifter_has_one_answer(clips, virtual_camera):
    torch.manual_seed(0)
    regressor = Lifter(MixSTE(T, J, 16, 2), timesteps=50, virtual_camera=virtual_camera, deterministic=True).eval()
    keypoints, intrinsics = clips.keypoints, clips.intrinsics
    found = regressor.sample(keypoints, H, K, generator=rng(1), intrinsics=intrinsics)
    assert found.shape == (B, K, H, T, J, 3)
    assert torch.equal(found, found[:, :1, :1].expand_as(found))  # over steps and hypotheses
    assert torch.equal(regressor.sample(keypoints, H, K, generator=rng(2), intrinsics=intrinsics), found)
    once = regressor.denoise(keypoints, noisy_poses(1), torch.tensor([3, 20, 40]), intrinsics)
    again = regressor.denoise(keypoints, noisy_poses(2), torch.tensor([0, 0, 49]), intrinsics)
    assert torch.equal(once, again)
    moved = keypoints.clone()
    moved[:, 0, 0] += 0.1
    assert not torch.equal(regressor.denoise(moved, noisy_poses(1), torch.zeros(B).long(), intrinsics), once)


# The diffusion process.


def test_cosine_schedule():
    betas = cosine_betas(1000)
    alpha_bar = torch.cumprod(1 - betas, 0)
    assert betas.dtype == torch.float64 and betas.shape == (1000,)
    assert (betas > 0).all() and betas.max() == 0.999 and (alpha_bar.diff() < 0).all()
    for n in (1, 10, 500, 998):  # the closed form, wherever no beta was clipped
        wanted = [math.cos((m / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for m in (n, 0)]
        assert alpha_bar[n - 1].item() == pytest.approx(wanted[0] / wanted[1], rel=1e-9)


def test_noise_hides_the_pose_little_at_first_and_wholly_at_last():
    diffusion = Diffusion(1000)
    x0, noise = torch.rand(2, T, J, 3, generator=rng()) - 0.5, torch.randn(2, T, J, 3, generator=rng(1))
    first = diffusion.add_noise(x0, torch.tensor([0, 0]), noise)
    last = diffusion.add_noise(x0, torch.tensor([999, 999]), noise)
    torch.testing.assert_close(first, x0, atol=0.05, rtol=0)
    torch.testing.assert_close(last, noise.clamp(-CLAMP, CLAMP), atol=1e-3, rtol=0)
    mixed = diffusion.add_noise(x0, torch.tensor([0, 999]), noise)  # a time for each clip
    assert torch.equal(mixed, torch.stack([first[0], last[1]]))
    assert mixed.dtype == x0.dtype


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_noisy_poses_keep_their_unit_and_the_clamp(scale):
    diffusion = Diffusion(1000, scale)
    x0 = 3 * torch.randn(4, T, J, 3, generator=rng())
    noisy = diffusion.add_noise(x0, torch.tensor([0, 300, 600, 999]), torch.randn(x0.shape, generator=rng(1)))
    assert noisy.abs().max().item() == pytest.approx(CLAMP)
    small = x0 / 20
    unmoved = diffusion.add_noise(small, torch.zeros(4, dtype=torch.long), torch.zeros_like(small))
    torch.testing.assert_close(unmoved, small, atol=1e-4, rtol=0)


def test_noise_is_recovered_from_the_state_and_the_pose():
    diffusion = Diffusion(1000)
    x0, noise = 0.1 * torch.randn(1, T, J, 3, generator=rng()), 0.1 * torch.randn(1, T, J, 3, generator=rng(1))
    for time in (5, 500, 990):
        x = diffusion.add_noise(x0, torch.tensor([time]), noise)
        torch.testing.assert_close(diffusion.predicted_noise(x, x0, time), noise, atol=1e-4, rtol=0)


def test_ddim_step_keeps_the_marginal_distribution():
    # With the true x0 and fresh unit noise, the state at the next time has mean sqrt(a) x0 and variance 1 - a.
    diffusion = Diffusion(1000)
    noise, fresh = torch.randn(2, 200_000, generator=rng(2), dtype=torch.float64)
    x0 = torch.full_like(noise, 0.3)
    for time, next_time in ((999, 799), (500, 250), (100, 0)):
        alpha_bar, wanted = diffusion.alpha_bar[[time, next_time]]
        x = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
        state = diffusion.ddim_step(x, x0, fresh, time, next_time)
        assert state.mean().item() == pytest.approx((wanted.sqrt() * 0.3).item(), abs=0.01)
        assert state.var().item() == pytest.approx((1 - wanted).item(), rel=0.02)


@pytest.mark.parametrize(("timesteps", "steps"), [(1000, 1), (1000, 5), (1000, 1000), (50, 7)])
def test_sampling_times_fall_from_the_last_to_before_the_first(timesteps, steps):
    times = ddim_times(timesteps, steps)
    assert len(times) == steps
    assert times[0][0] == timesteps - 1 and times[-1][1] == -1
    assert all(time > next_time for time, next_time in times)
    assert all(one[1] == other[0] for one, other in zip(times, times[1:]))


def test_the_process_adds_nothing_to_the_weights(lifter):
    assert all(name.startswith("denoiser.") for name in lifter.state_dict())


@pytest.fixture
def weighing() -> Lifter:
    torch.manual_seed(0)
    return Lifter(MixSTE(T, J, 16, 2), scale=10, prior_error=0.08).eval()


def noised(lifter: Lifter, pose: torch.Tensor, metres: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Poses with so much noise, as the network is given them, and their times."""
    levels = lifter.diffusion.noise_level(torch.arange(lifter.diffusion.timesteps))
    t = (levels - metres).abs().argmin().expand(len(pose))
    noise = torch.randn(pose.shape, generator=rng(3), dtype=pose.dtype)
    return lifter.diffusion.add_noise(pose, t, noise), t


def test_the_noise_level_is_what_is_added_to_a_pose_scaled_back():
    diffusion = Diffusion(1000, 10)
    pose, t = torch.zeros(400, T, J, 3), torch.full((400,), 300)
    noise = torch.randn(pose.shape, generator=rng())
    noisy = diffusion.add_noise(pose, t, noise) / diffusion.alpha_bar[300].sqrt()
    assert noisy.std().item() == pytest.approx(diffusion.noise_level(t)[0].item(), rel=0.01)
    assert diffusion.noise_level(t).shape == (400,)
    assert Diffusion(1000, 1).noise_level(t)[0].item() == pytest.approx(10 * diffusion.noise_level(t)[0].item())


@torch.no_grad()
def test_a_noisy_pose_counts_by_its_noise(weighing, x_2d):
    """An untrained network knows nothing: what is right comes around it, and only where there is little noise."""
    pose = 0.26 * torch.randn(B, T, J, 3, generator=rng(2))
    found, off = [], []
    for metres in (0.001, 0.01, 0.05, 0.3, 30.0):
        noisy, t = noised(weighing, pose, metres)
        found.append(weighing(x_2d, noisy[:, None], t)[:, 0])
        off.append((found[-1] - pose).norm(dim=-1).mean().item())
    assert off[0] < 0.01 and off == sorted(off)
    elsewhere, t = noised(weighing, pose + 0.5, 30.0)  # nothing can be seen of the pose through so much noise
    assert (weighing(x_2d, elsewhere[:, None], t)[:, 0] - found[-1]).abs().max() < 0.02
    # Seen directly: with the network's part zeroed the noisy pose is shrunk as the best linear guess about zero is.
    weighing.denoiser.head[1].weight.zero_()
    weighing.denoiser.head[1].bias.zero_()
    noisy, t = noised(weighing, pose, 0.08)
    level = weighing.diffusion.noise_level(t)[0]
    scaled_back = noisy / weighing.diffusion.alpha_bar[t[0]].sqrt()
    expected = (scaled_back * 0.08**2 / (0.08**2 + level**2)).float()
    torch.testing.assert_close(weighing(x_2d, noisy[:, None], t)[:, 0], expected, rtol=0, atol=1e-6)


@torch.no_grad()
def test_what_goes_into_the_network_and_is_asked_of_it_has_unit_variance(weighing):
    guess, error = POSE_SPREAD, weighing.prior_error
    known = guess * torch.randn(200, T, J, 3, generator=rng(4))  # what 2D tells of the pose
    pose = known + error * torch.randn(known.shape, generator=rng(5))
    for metres in (0.003, 0.03, 0.1, 1.0, 50.0):
        noisy, t = noised(weighing, pose, metres)
        within, around, out = (c[0] for c in weighing._coefficients(t))
        assert (within * noisy).std().item() == pytest.approx(1, rel=0.06)
        assert ((pose - around * noisy) / out).std().item() == pytest.approx(1, rel=0.1)


def test_clips_with_little_noise_count_more_where_their_errors_are_small(weighing, lifter):
    t = torch.tensor([0, 300, 600, 999])
    weights = weighing.noise_weights(t)
    assert weights.shape == (4, 1, 1) and weights.mean().item() == pytest.approx(1)
    assert (weights.flatten().diff() < 0).all()
    assert (lifter.noise_weights(t % 50) == 1).all()  # as D3DP


def test_a_regressor_has_no_noisy_pose_to_weigh():
    with pytest.raises(ValueError, match="no noisy pose"):
        Lifter(MixSTE(T, J, 16, 1), deterministic=True, prior_error=0.1)


def test_a_trained_lifter_looks_at_its_noisy_pose():
    """2D leaves open which of two poses it is. Shown one with some noise, a lifter trained for a moment finds it; from
    noise alone many steps draw both, where a single one is their mean."""
    torch.manual_seed(0)
    lifter = Lifter(MixSTE(T, J, 16, 1), scale=10, prior_error=0.1)
    optimizer = torch.optim.Adam(lifter.parameters(), 3e-3)
    generator, keypoints = rng(6), torch.zeros(32, T, J, 2)
    one = 0.1 * torch.randn(J, 3, generator=generator)

    def draw() -> torch.Tensor:
        side = 1 - 2 * torch.randint(2, (32, 1, 1, 1), generator=generator)
        return (side * one).expand(-1, T, -1, -1)

    for _ in range(250):
        pose, t = draw(), torch.randint(1000, (32,), generator=generator)
        noisy = lifter.diffusion.add_noise(pose, t, torch.randn(pose.shape, generator=generator))
        errors = (lifter(keypoints, noisy[:, None], t)[:, 0] - pose).square().sum(-1)
        optimizer.zero_grad()
        (errors * lifter.noise_weights(t)).mean().backward()
        optimizer.step()
    lifter.eval()
    pose, apart = draw(), 2 * one.norm(dim=-1).mean().item()
    with torch.no_grad():
        errors = []
        for metres in (0.02, 0.08, 30.0):
            noisy, t = noised(lifter, pose, metres)
            errors.append((lifter(keypoints, noisy[:, None], t)[:, 0] - pose).norm(dim=-1).mean().item())
        once, often = (lifter.sample(keypoints[:1], 32, k, False, generator=rng())[0, -1] for k in (1, 8))
    assert errors == sorted(errors) and errors[0] < 0.02 * 1.6 and errors[1] < 0.08 * 1.6 / 2
    assert errors[2] > 0.3 * apart
    assert once.std(0).mean() < often.std(0).mean() / 2
    sides = (often * one).sum((-1, -2, -3)).sign()
    assert 4 < (sides > 0).sum() < 28
