"""The command-line flags both transfer scripts share; the names are those D3DP and VideoPose3D users type."""

import argparse
import math
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..adaptation.selection import CRITERIA
from ..datasets.open_layout import HIGHEST_RATE
from ..errors import InputError
from ..model.open import NAME as OPEN
from ..model.open import open_checkpoint
from ..model.registry import DEFAULT, DENOISERS
from ..reprojection.jpma import ROOTS
from ..reprojection.refinement import MODES

CHECKPOINT_ORDERS = ("h36m", "3dhp")  # of `JOINT_ORDERS`, those that released lifters have
SELECTIONS = ("last", *CRITERIA, "oracle")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help lists the flags")


def names(text: str) -> list[str]:
    """'S5,S6' -> ['S5', 'S6'], each name once."""
    return [name for name in dict.fromkeys(part.strip() for part in text.split(",")) if name]


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above zero, found {text}")
    return int(text)


def checkpoint_path(text: str) -> Path:
    """A file, or the open model by its name."""
    return open_checkpoint() if text == OPEN else Path(text)


def transfer_parser(description: str, source: str) -> argparse.ArgumentParser:
    """The flags both transfer scripts have. Defaults are the papers' full-size settings.

    Args:
        source: the labelled Human3.6M subjects, "S1,S5".
    """
    parser = _Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    data = parser.add_argument_group("data")
    data.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of the npz files")
    data.add_argument(
        "--sample", action="store_true", help="run on synthetic data, made in data/sample/ when absent, at a small size"
    )
    data.add_argument(
        "-k", "--keypoints", default="cpn_ft_h36m_dbb", metavar="NAME",
        help="whose 2D: gt, or the NAME of any data_2d_h36m_NAME.npz",
    )  # fmt: skip
    data.add_argument(
        "-str", "--subjects-train", type=names, default=names(source), metavar="LIST", help="labelled source subjects"
    )
    data.add_argument("-a", "--actions", type=names, default=["*"], metavar="LIST", help="actions to use, * for all")
    data.add_argument("--downsample", type=positive, default=1, metavar="N", help="keep one frame in N of the source")
    data.add_argument(
        "--rate", type=float, metavar="FPS", help="frames a second of all clips; the source's over N when left out"
    )
    data.add_argument("--fps", type=float, default=50.0, metavar="FPS", help="of files that do not say it themselves")

    run = parser.add_argument_group("run")
    run.add_argument("-c", "--checkpoint", type=Path, default=Path("checkpoint"), metavar="DIR", help="outputs")
    run.add_argument("-l", "--log", type=Path, default=Path("log"), metavar="DIR", help="TensorBoard files")
    run.add_argument("--nolog", action="store_true", help="write no TensorBoard files")
    run.add_argument(
        "-cf", "--checkpoint-frequency", type=positive, default=20, metavar="N", help="epochs between kept checkpoints"
    )
    run.add_argument(
        "-r", "--resume", nargs="?", const="", metavar="FILE",
        help="go on from the latest checkpoints in -c, or from FILE there",
    )  # fmt: skip
    run.add_argument(
        "--evaluate", metavar="FILE",
        help="only score this checkpoint, a path or a name inside -c, and that of --source-checkpoint where given",
    )  # fmt: skip
    run.add_argument(
        "--source-checkpoint", type=checkpoint_path, metavar="FILE",
        help=f"skip source training, start from this; {OPEN}: the model that comes with the project",
    )  # fmt: skip
    run.add_argument(
        "--checkpoint-joint-order", choices=CHECKPOINT_ORDERS,
        help="of a checkpoint that another project made; ours say it themselves",
    )  # fmt: skip
    run.add_argument("--source-only", action="store_true", help="train and report the source model only")
    run.add_argument(
        "--supervised-target", nargs="?", const="target", choices=("target", "both"),
        help="also train an oracle on the target's labels, or on both the source's and the target's",
    )  # fmt: skip
    run.add_argument(
        "-gpu", "--gpu", default="", metavar="N",
        help="CUDA device; the first one, or the CPU, when left out; for several see the README on torchrun",
    )  # fmt: skip
    run.add_argument("--seed", type=int, default=0, help="of weights, batches and draws")

    model = parser.add_argument_group("lifter")
    model.add_argument("--model", choices=DENOISERS, default=DEFAULT, help="the network")
    model.add_argument("-cs", "--channels", type=positive, default=512, metavar="N", help="width C")
    model.add_argument(
        "-dep", "--depth", type=positive, default=8, metavar="N", help="pairs of blocks; blocks of --model tcn"
    )
    model.add_argument("-f", "--number-of-frames", type=positive, default=243, metavar="N", help="frames in a clip, T")
    model.add_argument("-timestep", "--timestep", type=positive, default=1000, metavar="N", help="diffusion steps")
    model.add_argument("-scale", "--scale", type=float, default=1.0, help="of the poses in the diffusion")
    model.add_argument(
        "--prior-error", type=float, default=0.0, metavar="METRES",
        help="the noisy pose counts by its noise beside this error of a pose guessed from 2D, which keeps hypotheses "
        "apart: 0.08, with -scale 10; 0 leaves all to the network, as D3DP",
    )  # fmt: skip
    model.add_argument("-num_proposals", "--num-proposals", type=positive, default=5, metavar="H", help="hypotheses")
    model.add_argument(
        "-sampling_timesteps", "--sampling-timesteps", type=positive, default=5, metavar="K", help="DDIM steps"
    )

    model.add_argument(
        "--no-virtual-camera", action="store_false", dest="virtual_camera",
        help="lift clips as the real camera sees them, not as one that looks at the person; as in the papers",
    )  # fmt: skip
    model.add_argument(
        "--deterministic", action="store_true", help="a plain regressor without diffusion; H and K are 1"
    )

    training = parser.add_argument_group("training")
    training.add_argument("-e", "--epochs", type=positive, default=40, metavar="N", help="of adaptation")
    training.add_argument("--source-epochs", type=positive, default=100, metavar="N", help="of source training")
    training.add_argument(
        "--oracle-epochs", type=positive, metavar="N", help="of oracle training; as the source's when left out"
    )
    training.add_argument("-b", "--batch-size", type=positive, default=4, metavar="N", help="clips in a step")
    training.add_argument("-lr", "--learning-rate", type=float, default=1e-4, metavar="LR", help="of adaptation")
    training.add_argument("--source-lr", type=float, default=1e-4, metavar="LR", help="of source and oracle training")
    training.add_argument("-lrd", "--lr-decay", type=float, default=0.993, metavar="D", help="factor per epoch")
    training.add_argument("--source-lrd", type=float, default=0.993, metavar="D", help="the same, source and oracle")
    training.add_argument("-no-da", "--no-data-augmentation", action="store_true", help="no mirrored clips")
    training.add_argument("--drop-path", type=float, default=0.1, metavar="P", help="stochastic depth of the last pair")

    speed = parser.add_argument_group("speed and memory")
    speed.add_argument(
        "--accumulate", type=positive, default=1, metavar="N", help="batches in a step, as -b N times larger"
    )
    speed.add_argument("--gradient-checkpointing", action="store_true", help="less memory, up to a third more time")
    speed.add_argument("--amp", choices=("bf16",), help="matrix products in bfloat16")
    speed.add_argument("--tf32", action="store_true", help="matrix products in TensorFloat-32, on GPUs that have it")
    speed.add_argument("--compile", action="store_true", help="torch.compile; on a CPU it needs a C++ compiler")

    adaptation = parser.add_argument_group("adaptation")
    adaptation.add_argument("--rank", type=positive, default=4, metavar="N", help="of the low-rank updates")
    adaptation.add_argument("--ema-decay", type=float, default=0.999, metavar="D", help="of the teacher")
    adaptation.add_argument(
        "--select",
        choices=SELECTIONS,
        default="last",
        help="which epoch is the result: the last, or by agreement without labels; oracle uses labels, for comparison",
    )
    adaptation.add_argument(
        "--pseudo-weight", type=float, default=0.0, metavar="W", help="of the loss against pseudo-labels (paper: 1)"
    )
    adaptation.add_argument(
        "--lora", action="store_true", help="train low-rank updates of the attention layers only, as in the paper"
    )
    adaptation.add_argument(
        "--own-motion", type=float, default=0.7, metavar="SHARE",
        help="of the source's clips, replaced by the target's own motion as the teacher sees it, from other sides",
    )  # fmt: skip
    adaptation.add_argument("--no-teacher", action="store_true", help="no pseudo-labels")
    adaptation.add_argument(
        "--teacher-start", type=float, default=0.4, metavar="P", help="share of the epochs before any pseudo-label"
    )
    adaptation.add_argument(
        "--relabel", type=positive, default=5, metavar="N", help="epochs after which the teacher labels the target anew"
    )
    adaptation.add_argument("--no-source-augmentation", action="store_true", help="source clips as they are")
    adaptation.add_argument("--no-bone-ratios", action="store_true", help="source people keep their own bones")
    adaptation.add_argument(
        "--yaw", type=float, default=180.0, metavar="DEGREES", help="source people are seen from so far to either side"
    )
    adaptation.add_argument(
        "--refine", choices=MODES, default="limits",
        help="how poses are made to agree with keypoints and bones, in pseudo-labels and in the result: weighed by "
        "their errors (map), with arms turned round that no shoulder allows (limits), in turn (snap), or not",
    )  # fmt: skip

    report = parser.add_argument_group("report")
    report.add_argument(
        "--root", choices=ROOTS, default="estimated", help="for J-Agg: from the 2D, or the label as in the papers"
    )
    report.add_argument("--p2", action="store_true", help="print P-MPJPE tables too")
    report.add_argument("--by-subject", action="store_true", help="print tables by subject too")

    report.add_argument(
        "--save-predictions", action="store_true", help="write the poses and their expected errors to predictions.npz"
    )
    report.add_argument("--csv", action="store_true", help="the same as a table, predictions.csv, too")

    viewing = parser.add_argument_group("rendering")
    viewing.add_argument(
        "--render", action="store_true", help="show one video after the evaluation, in a page and a GIF"
    )
    viewing.add_argument("--viz-subject", metavar="NAME", help="subject; the first reported when left out")
    viewing.add_argument("--viz-action", metavar="NAME", help="action; the subject's first when left out")
    viewing.add_argument("--viz-camera", type=int, default=0, metavar="N", help="camera, 0 to 3")
    viewing.add_argument(
        "--viz-output",
        type=Path,
        metavar="FILE",
        help=".html, .gif, .mp4 (needs PyAV), or .png of one frame; render.gif and render.html in -c when left out",
    )
    viewing.add_argument("--viz-skip", type=int, default=0, metavar="N", help="frames left out at the start")
    viewing.add_argument("--viz-limit", type=int, default=-1, metavar="N", help="frames drawn at most, -1 for all")
    viewing.add_argument("--viz-downsample", type=positive, default=1, metavar="N", help="draw one frame in N")
    viewing.add_argument(
        "--viz-size", type=float, default=5, metavar="INCHES", help="height of the film, 80 pixels each"
    )
    return parser


def h36m_parser(description: str) -> argparse.ArgumentParser:
    """The flags of the transfer between Human3.6M subjects."""
    parser = transfer_parser(description, source="S1")
    target = parser.add_argument_group("target")
    target.add_argument(
        "-sun", "--subjects-unlabeled", type=names, default=names("S5,S6,S7,S8"), metavar="LIST",
        help="target subjects, of which only the 2D is read",
    )  # fmt: skip
    target.add_argument(
        "-ste",
        "--subjects-test",
        type=names,
        metavar="LIST",
        help="subjects reported on, which need 3D; those of the target's that have it when left out",
    )
    return parser


def mpi_3dhp_parser(description: str) -> argparse.ArgumentParser:
    """The flags of the transfer from Human3.6M to MPI-INF-3DHP."""
    parser = transfer_parser(description, source="S1,S5,S6,S7,S8")
    target = parser.add_argument_group("target")
    target.add_argument(
        "--target-split", choices=("train", "test"), default="train",
        help="whose 2D is adapted to: the training sequences', or the test sequences' own (transductive)",
    )  # fmt: skip
    target.add_argument(
        "--target-intrinsics", default="file", metavar="file|estimate|FX,FY,CX,CY",
        help="of the training sequences: stored in the file, fitted to its 2D and 3D, or given in pixels",
    )  # fmt: skip
    return parser


def parse(parser: argparse.ArgumentParser, sample_defaults: Mapping[str, object]) -> argparse.Namespace:
    """Parse the command line; with --sample its small defaults apply, and any flag given wins over them."""
    sample = parser.parse_args().sample
    if sample:
        parser.set_defaults(**sample_defaults)
    args = parser.parse_args()
    if sample:
        flags: dict[str, str] = {}
        for action in parser._actions:
            flags.setdefault(action.dest, action.option_strings[0])
        values = {flags[name]: getattr(args, name) for name in sample_defaults}
        words = (flag if value is True else f"{flag} {value}" for flag, value in values.items() if value is not False)
        print("--sample stands for", *words)
    if "subjects_unlabeled" in args:
        _check_target(args)
    _check(args)
    if args.deterministic:
        args.num_proposals = args.sampling_timesteps = 1
    return args


def _check_target(args: argparse.Namespace) -> None:
    for flag, subjects in (("-sun", args.subjects_unlabeled), ("-ste", args.subjects_test)):
        if subjects == []:
            raise InputError(f"{flag}: expected subjects such as S1,S5, found none")
    both = set() if args.source_only else set(args.subjects_train) & set(args.subjects_unlabeled)
    if both:
        raise InputError(f"-str and -sun: {', '.join(sorted(both))} is both source and target; name it once")


def _check(args: argparse.Namespace) -> None:
    if not args.subjects_train:
        raise InputError("-str: expected subjects such as S1,S5, found none")
    if not args.actions:
        raise InputError("-a: expected actions such as Walking,Sitting, or *, found none")
    for flag, value in (
        ("-lr", args.learning_rate),
        ("--source-lr", args.source_lr),
        ("-lrd", args.lr_decay),
        ("--source-lrd", args.source_lrd),
        ("-scale", args.scale),
    ):
        if not 0 < value < math.inf:
            raise InputError(f"{flag}: expected a number above zero, found {value}")
    for flag, value in (
        ("--ema-decay", args.ema_decay), ("--drop-path", args.drop_path), ("--teacher-start", args.teacher_start),
        ("--own-motion", args.own_motion),
    ):  # fmt: skip
        if not 0 <= value < 1:
            raise InputError(f"{flag}: expected a number from 0 up to 1, found {value}")
    for flag, value in (("--fps", args.fps), ("--rate", args.rate)):
        if value is not None and not 0 < value <= HIGHEST_RATE:
            raise InputError(f"{flag}: expected frames a second up to {HIGHEST_RATE}, found {value}")
    if not 0 <= args.yaw <= 180:
        raise InputError(f"--yaw: expected degrees from 0 to 180, found {args.yaw}")
    if not 0 <= args.prior_error < math.inf or (args.prior_error and args.deterministic):
        raise InputError(
            f"--prior-error: expected metres from 0 up, and 0 with --deterministic, found {args.prior_error}"
        )
    if args.no_teacher or args.no_source_augmentation:  # nobody who labels it, or no other side to show it from
        args.own_motion = 0.0
    if not 0 <= args.pseudo_weight < math.inf:
        raise InputError(f"--pseudo-weight: expected a number from 0 up, found {args.pseudo_weight}")
    if not 0 <= args.seed < 2**63:
        raise InputError(f"--seed: expected a whole number from 0 up to 2^63, found {args.seed}")
    if args.channels % 8:
        raise InputError(f"-cs: expected a multiple of the 8 attention heads, found {args.channels}")
    if args.source_only and args.source_checkpoint and not args.supervised_target:
        raise InputError(
            "--source-only trains the source model and --source-checkpoint skips that: give one of them, "
            "or --evaluate FILE to score a model"
        )


def arguments_dict(args: Namespace) -> dict[str, Any]:
    """The flags as plain values for files."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
