"""The diffusion lifter: 2D keypoints in, 3D pose hypotheses out (D3DP, ICCV 2023)."""

from collections.abc import Sequence

import torch
from torch import nn

from ..geometry.camera import mirror_intrinsics
from ..geometry.skeleton import H36M_17, mirror
from ..geometry.virtual_camera import look_at_person
from .denoiser import Denoiser
from .diffusion import Diffusion, ddim_times

POSE_SPREAD = 0.26  # metres, of a joint's coordinate about the root, standard deviation
PIXELS = 4.0  # keypoints this far from the image's middle, or farther, are no normalised screen coordinates


class Lifter(nn.Module):
    """A denoiser and the diffusion process it was trained for.

    Poses are metres, camera axes, relative to the root, in Human3.6M-17 order; keypoints are normalised screen
    coordinates. The randomness comes from the `generator` a call is given, on the generator's own device.

    Args:
        virtual_camera: show the network every clip as a camera sees it that looks at the person. Calls need the
            intrinsics then; poses go in and come out in the real camera's axes as ever.
        deterministic: a plain regressor: the network is given no noisy pose, so that all hypotheses are one.
        prior_error: metres, how far off a pose is taken to be that is guessed from the 2D alone, per coordinate. The
            noisy pose then counts by its noise beside this (see `_coefficients`); 0 leaves all to the network, as D3DP.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        timesteps: int = 1000,
        scale: float = 1.0,
        virtual_camera: bool = False,
        deterministic: bool = False,
        prior_error: float = 0.0,
    ):
        super().__init__()
        if deterministic and prior_error:
            raise ValueError("a plain regressor is given no noisy pose that a prior error could weigh")
        self.denoiser = denoiser
        self.diffusion = Diffusion(timesteps, scale)
        self.virtual_camera, self.deterministic, self.prior_error = virtual_camera, deterministic, prior_error
        self.amp = False  # matrix products in bfloat16, see --amp

    @property
    def frames(self) -> int:
        """Frames in a clip, T."""
        return self.denoiser.frames

    def denoise(
        self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor, intrinsics: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Predict the clean pose.

        Args:
            x_2d: (B, T, J, 2).
            x_3d: (B, H, T, J, 3) noisy poses, as `Diffusion.add_noise` makes them.
            t: (B,) diffusion times.
            intrinsics: (B, 9), used with a virtual camera only.

        Returns:
            (B, H, T, J, 3) metres.

        Raises:
            ValueError: the clip does not have the model's frames or joints, or intrinsics are lacking.
        """
        self._check(x_2d.shape[1:3], x_3d.shape[2:4])
        if self.deterministic:
            x_3d, t = torch.zeros_like(x_3d), torch.zeros_like(t)
        if not self.virtual_camera:
            return self._estimate(x_2d, x_3d, t)
        if intrinsics is None:
            raise ValueError("this lifter looks through a virtual camera and needs the intrinsics of the real one")
        seen, rotation = look_at_person(x_2d, intrinsics)
        rotation = rotation[:, None, None]  # (B, 1, 1, 3, 3)
        return self._estimate(seen, x_3d @ rotation.mT, t) @ rotation

    forward = denoise  # what `DistributedDataParallel` calls

    def _estimate(self, x_2d: torch.Tensor, x_3d: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The clean pose from the noisy one, by the network; with a `prior_error` also around it."""
        with torch.autocast(x_2d.device.type, torch.bfloat16, enabled=self.amp):
            if not self.prior_error:
                return self.denoiser(x_2d, x_3d, t).float()
            within, around, out = (c.reshape(-1, 1, 1, 1, 1) for c in self._coefficients(t))
            found = self.denoiser(x_2d, x_3d * within, t).float()
        return around * x_3d + out * found

    def _coefficients(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Factors (B,) on the noisy pose going into the network and around it, and on what comes out.

        The noisy pose, scaled back up, counts by its variance beside that of a pose guessed from the 2D, and what goes
        into the network and is asked of it has about unit variance (EDM, Karras et al. 2022, table 1, where the spread
        of poses given the 2D stands in the place of the data's).
        """
        alpha_bar, noise = self.diffusion.alpha_bar[t], self.diffusion.noise_level(t)
        guess = noise**2 / (self.prior_error**2 + noise**2)  # the share of the network's own guess
        within = 1 / (alpha_bar * (POSE_SPREAD**2 + noise**2)).sqrt()
        out = (guess**2 * POSE_SPREAD**2 + guess * self.prior_error**2).sqrt()
        return within.float(), ((1 - guess) / alpha_bar.sqrt()).float(), out.float()

    def noise_weights(self, t: torch.Tensor) -> torch.Tensor:
        """How much each clip of a batch counts in training, by its diffusion time: (B,) -> (B, 1, 1), 1 on average.

        With a `prior_error` errors are small where noise is; such clips count more, halfway (as the root) to alike.
        """
        if not self.prior_error:
            return torch.ones(len(t), 1, 1, device=t.device)
        weights = self._coefficients(t)[2].rsqrt()
        return (weights / weights.mean()).reshape(-1, 1, 1)

    def _check(self, *shapes: torch.Size) -> None:
        expected = (self.frames, self.denoiser.joints)
        for found in shapes:
            if tuple(found) != expected:
                raise ValueError(f"this lifter takes clips of (frames, joints) = {expected}, got {tuple(found)}")

    def _predict(
        self, x_2d: torch.Tensor, x: torch.Tensor, time: int, flip: bool, intrinsics: torch.Tensor | None
    ) -> torch.Tensor:
        """The clamped x0 (scaled) from the state x (B, H, T, J, 3), flip-averaged if asked."""
        noisy = self.diffusion.clamp(x) / self.diffusion.scale
        if flip:
            x_2d, noisy = torch.cat([x_2d, mirror(x_2d)]), torch.cat([noisy, mirror(noisy)])
            intrinsics = None if intrinsics is None else torch.cat([intrinsics, mirror_intrinsics(intrinsics)])
        t = torch.full((len(noisy),), time, device=x.device)
        x0 = self.denoise(x_2d, noisy, t, intrinsics)
        if flip:
            found, mirrored = x0.chunk(2)
            x0 = (found + mirror(mirrored, H36M_17)) / 2
        return self.diffusion.clamp(x0 * self.diffusion.scale)

    @torch.no_grad()
    def sample(
        self,
        x_2d: torch.Tensor,
        num_proposals: int = 5,
        sampling_timesteps: int = 5,
        flip: bool = True,
        noise: Sequence[torch.Tensor] | None = None,
        generator: torch.Generator | None = None,
        intrinsics: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Draw hypotheses by DDIM; every step's prediction is kept (D3DP, section 3.2).

        Args:
            x_2d: (B, T, J, 2).
            num_proposals: hypotheses, H.
            sampling_timesteps: DDIM steps, K.
            flip: average with the prediction for the mirrored clip.
            noise: the K draws to use, each (B, H, T, J, 3): the initial state, then one per step but the last.
            generator: where the draws come from when `noise` is not given.
            intrinsics: (B, 9), used with a virtual camera only.

        Returns:
            (B, K, H, T, J, 3) metres.

        Raises:
            ValueError: the clip does not have the model's frames or joints, `noise` does not hold K draws of that
                shape, or the keypoints are pixels.
        """
        self._check(x_2d.shape[1:3])
        # On a GPU nobody looks, which would be to wait until it has done all its work.
        if x_2d.device.type == "cpu" and x_2d.numel() and x_2d.abs().median() > PIXELS:
            raise ValueError("these keypoints look like pixels, expected normalised screen coordinates; see `lift`")
        shape = (len(x_2d), num_proposals, *x_2d.shape[1:3], 3)
        if noise is not None and [tuple(n.shape) for n in noise] != [shape] * sampling_timesteps:
            raise ValueError(
                f"noise: expected {sampling_timesteps} draws of {shape}, got {[tuple(n.shape) for n in noise]}"
            )

        def draw(step: int) -> torch.Tensor:
            if noise is not None:
                return noise[step].to(x_2d)
            device = generator.device if generator is not None else x_2d.device
            return torch.randn(shape, generator=generator, device=device, dtype=x_2d.dtype).to(x_2d.device)

        x = draw(0)
        predictions = []
        for step, (time, next_time) in enumerate(ddim_times(self.diffusion.timesteps, sampling_timesteps)):
            x0 = self._predict(x_2d, x, time, flip, intrinsics)
            predictions.append(x0 / self.diffusion.scale)
            if next_time >= 0:
                x = self.diffusion.ddim_step(x, x0, draw(step + 1), time, next_time)
        return torch.stack(predictions, 1)
