"""The diffusion process: cosine schedule, noising for training, DDIM steps (DDPM; Improved DDPM; DDIM; D3DP)."""

import math

import torch
from torch import nn

MAX_BETA = 0.999
COSINE_OFFSET = 0.008
CLAMP = 1.1  # poses leave [-scale, scale] by at most this factor


def cosine_betas(timesteps: int) -> torch.Tensor:
    """The betas of the cosine schedule, (timesteps,) float64 (Improved DDPM, eq. 17)."""
    n = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64)
    alpha_bar = torch.cos((n / timesteps + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    alpha_bar = alpha_bar / alpha_bar[0]
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(0, MAX_BETA)


def ddim_times(timesteps: int, steps: int) -> list[tuple[int, int]]:
    """The (time, next time) pairs a sampler with `steps` steps visits; the last next time is -1."""
    times = torch.linspace(-1, timesteps - 1, steps + 1).int().tolist()[::-1]
    return list(zip(times[:-1], times[1:]))


class Diffusion(nn.Module):
    """The fixed numbers of the process and the formulas on them. Holds no weights and adds nothing to a state dict.

    Attributes:
        alpha_bar: (timesteps,) float64, the cumulative product of 1 - beta.

    Args:
        timesteps: N, diffusion steps.
        scale: poses are multiplied by this before noise is added (`-scale`).
    """

    alpha_bar: torch.Tensor

    def __init__(self, timesteps: int = 1000, scale: float = 1.0):
        super().__init__()
        self.timesteps, self.scale = timesteps, scale
        alpha_bar = torch.cumprod(1 - cosine_betas(timesteps), 0)
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)

    def clamp(self, x: torch.Tensor) -> torch.Tensor:
        """Poses, scaled, kept where the process has any."""
        return x.clamp(-CLAMP * self.scale, CLAMP * self.scale)

    def add_noise(self, x0: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What the network sees of a clean pose at time t (DDPM, eq. 4), clamped and divided by the scale.

        Args:
            x0: (B, ...) metres.
            t: (B,) int64 in [0, N).
            noise: like `x0`, standard normal.
        """
        alpha_bar = self.alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1))  # float64, as the reference
        noisy = alpha_bar.sqrt() * x0 * self.scale + (1 - alpha_bar).sqrt() * noise
        return (self.clamp(noisy) / self.scale).to(x0.dtype)

    def noise_level(self, t: torch.Tensor) -> torch.Tensor:
        """Standard deviation of the noise beside a pose that is not scaled down, (B,) -> (B,) float64, metres."""
        alpha_bar = self.alpha_bar[t]
        return ((1 - alpha_bar) / alpha_bar).sqrt() / self.scale

    def predicted_noise(self, x: torch.Tensor, x0: torch.Tensor, time: int) -> torch.Tensor:
        """The noise that leads from x0 to the unclamped state x (scaled)."""
        alpha_bar = self.alpha_bar[time]
        return (((1 / alpha_bar).sqrt() * x - x0) / (1 / alpha_bar - 1).sqrt()).to(x.dtype)

    def ddim_step(
        self, x: torch.Tensor, x0: torch.Tensor, noise: torch.Tensor, time: int, next_time: int
    ) -> torch.Tensor:
        """One DDIM step with eta = 1 (DDIM, eq. 12 and 16): the state at `next_time` from the state at `time`.

        Args:
            x: the state, scaled. x0: the prediction made from it, scaled. noise: a fresh draw.
        """
        alpha_bar, next_alpha_bar = self.alpha_bar[time], self.alpha_bar[next_time]
        sigma = ((1 - alpha_bar / next_alpha_bar) * (1 - next_alpha_bar) / (1 - alpha_bar)).sqrt()
        towards = (1 - next_alpha_bar - sigma**2).sqrt()
        step = x0 * next_alpha_bar.sqrt() + towards * self.predicted_noise(x, x0, time) + sigma * noise
        return step.to(x.dtype)
