"""Whether the diffusion does anything: does the network look at its noisy pose, do more hypotheses hold better ones?

    python h36m_transfer.py --sample -c checkpoint/sample
    python benchmarks/hypotheses.py checkpoint/sample

Labels are looked at to judge, and to noise. Writes benchmarks/results/hypotheses_NAME.txt.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

if __package__ in (None, ""):  # run as a script: Python looks in benchmarks/ only
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.uncertainty import RESULTS, FinishedRun
from common.datasets.video import LabelledVideo
from common.datasets.windows import split
from common.errors import run_script
from common.evaluation.metrics import joint_errors
from common.evaluation.protocol import evaluate
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.reprojection.jpma import REFINED
from common.units import MILLIMETRES

NOISES = (10, 50, 150, 500)  # mm, mean distance of the noised joints from the true ones
STEPS, COUNTS = (1, 5, 10), (1, 5, 20)  # K, H
VIDEOS = 24  # noised, evenly spread
LENGTH = 1.596  # mean length of a standard normal vector in three dimensions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="output folder of h36m_transfer.py with an adapted model")
    parser.add_argument("--name", default="run", help="of the table, results/hypotheses_NAME.txt")
    args = parser.parse_args()
    run = FinishedRun.read(args.run)
    lifter = run.lifter
    lines = [
        *run.head("adapted model"),
        f"scale {lifter.diffusion.scale:g}, prior error {lifter.prior_error:g} m",
        "",
        "given the true pose and noise of (mm)" + "".join(f"{noise:7}" for noise in NOISES),
    ]
    for title, videos in (("source", run.source), ("target", run.target)):
        errors, moves = zip(*(noised(lifter, videos, noise / MILLIMETRES / LENGTH) for noise in NOISES))
        lines.append(f"{title + ': error of the output':37}" + "".join(f"{error:7.1f}" for error in errors))
        lines.append(f"{title + ': moved by another draw':37}" + "".join(f"{move:7.1f}" for move in moves))
    lines += ["", " K   H    P-Agg   J-Agg refined  J-Best (chosen by the label)"]
    for steps in STEPS:
        for count in COUNTS:
            sampling = Sampling(count, steps, seed=run.asked.seed)
            scores = evaluate(lifter, run.target, sampling, run.asked.root, run.refinement)
            found = {name: f"{scores.summary(name, 'mpjpe_mm')['overall']:.1f}" for name in scores.errors}
            names = ("P_Agg", "J_Agg", REFINED, "J_Best")
            lines.append(f"{steps:2}  {count:2} " + "".join(f"{found.get(name, '-'):>8}" for name in names))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"hypotheses_{args.name}.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def noised(lifter: Lifter, videos: Sequence[LabelledVideo], noise: float) -> tuple[float, float]:
    """The error of what the network makes of true poses with so much noise, and how far another draw moves it, mm.

    Args:
        noise: metres, standard deviation; the diffusion time that is nearest to it is used.
    """
    time = (lifter.diffusion.noise_level(torch.arange(lifter.diffusion.timesteps)) - noise).abs().argmin()
    errors, moves = [], []
    for v in videos[:: max(len(videos) // VIDEOS, 1)]:
        keypoints, pose = split(v.keypoints, lifter.frames), split(v.pose, lifter.frames)
        t, intrinsics = time.expand(len(pose)), v.intrinsics.expand(len(pose), 9)
        found = []
        for seed in (0, 1):
            draw = torch.randn(pose.shape, generator=torch.Generator().manual_seed(seed))
            noisy = lifter.diffusion.add_noise(pose, t, draw)
            found.append(lifter.denoise(keypoints, noisy[:, None], t, intrinsics)[:, 0])
        errors.append(joint_errors(found[0], pose).flatten())
        moves.append(joint_errors(found[0], found[1]).flatten())
    return MILLIMETRES * torch.cat(errors).mean().item(), MILLIMETRES * torch.cat(moves).mean().item()


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run_script(main)
