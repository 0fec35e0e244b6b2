"""The command line."""

from pathlib import Path

import pytest
from scripts import SAMPLE, arguments

import h36m_transfer
from common.errors import run_script
from common.run.arguments import h36m_parser, mpi_3dhp_parser, parse


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        ("-num_proposals 7", "num_proposals", 7), ("--num-proposals 7", "num_proposals", 7),
        ("-sampling_timesteps 3", "sampling_timesteps", 3), ("-timestep 500", "timestep", 500),
        ("-scale 0.5", "scale", 0.5), ("-cs 256", "channels", 256), ("-dep 4", "depth", 4),
        ("-f 27", "number_of_frames", 27), ("-b 8", "batch_size", 8), ("-e 9", "epochs", 9),
        ("-lr 0.002", "learning_rate", 0.002), ("-lrd 0.9", "lr_decay", 0.9), ("-gpu 1", "gpu", "1"),
        ("--nolog", "nolog", True), ("--evaluate best_epoch.bin", "evaluate", "best_epoch.bin"),
        ("--resume", "resume", ""), ("-r latest_epoch.bin", "resume", "latest_epoch.bin"),
        ("-cf 5", "checkpoint_frequency", 5),
        ("-str S1,S5 -sun S6", "subjects_train", ["S1", "S5"]), ("-sun S9,S11", "subjects_unlabeled", ["S9", "S11"]),
        ("-ste S9", "subjects_test", ["S9"]), ("-a Walking,Sitting", "actions", ["Walking", "Sitting"]),
        ("-a *", "actions", ["*"]), ("-k gt", "keypoints", "gt"), ("-c out", "checkpoint", Path("out")),
        ("-l events", "log", Path("events")), ("-no-da", "no_data_augmentation", True), ("--seed 3", "seed", 3),
        ("--downsample 5", "downsample", 5), ("--rate 12.5", "rate", 12.5),
        ("--fps 30", "fps", 30.0), ("--csv", "csv", True), ("--root gt", "root", "gt"), ("--p2", "p2", True),
        ("--by-subject", "by_subject", True), ("--source-checkpoint a.bin", "source_checkpoint", Path("a.bin")),
        ("--viz-limit -1", "viz_limit", -1), ("--lora", "lora", True), ("--no-virtual-camera", "virtual_camera", False),
        ("--teacher-start 0.25", "teacher_start", 0.25), ("--teacher-start 0", "teacher_start", 0.0),
        ("--yaw 0", "yaw", 0.0), ("--yaw 30", "yaw", 30.0), ("--no-bone-ratios", "no_bone_ratios", True),
        ("--prior-error 0.08", "prior_error", 0.08), ("--own-motion 0.4", "own_motion", 0.4),
        ("--relabel 2", "relabel", 2),
        ("--refine snap", "refine", "snap"), ("--refine none", "refine", "none"),
    ],
)  # fmt: skip
def test_spellings(flags, name, value):
    found = arguments(*flags.split())
    assert getattr(found, name) == value
    default = vars(arguments())
    others = {key for key, other in vars(found).items() if other != default[key]}
    follows = {"subjects_unlabeled"} if "-s" in flags else set()
    assert others <= {name} | follows


def test_papers_settings_are_the_defaults():
    args = arguments()
    assert (args.channels, args.depth, args.number_of_frames, args.timestep, args.scale) == (512, 8, 243, 1000, 1.0)
    assert (args.epochs, args.learning_rate, args.lr_decay, args.rank, args.ema_decay) == (40, 1e-4, 0.993, 4, 0.999)
    assert args.subjects_train == ["S1"] and args.subjects_unlabeled == ["S5", "S6", "S7", "S8"]
    assert args.rate is None and args.fps == 50  # the source's, and Human3.6M's
    assert args.root == "estimated" and args.select == "last" and args.resume is None and not args.sample


def test_adaptations_own_defaults():
    args = arguments()
    assert (args.teacher_start, args.yaw, args.refine, args.pseudo_weight) == (0.4, 180.0, "limits", 0.0)
    assert args.virtual_camera and not (args.lora or args.no_teacher or args.no_bone_ratios or args.deterministic)


@pytest.mark.parametrize("flag", ["--no-teacher", "--no-source-augmentation"])
def test_without_a_teacher_or_synthesis_no_motion_is_the_targets_own(flag):
    assert arguments().own_motion == 0.7
    assert arguments(flag).own_motion == arguments(flag, "--own-motion", 0.3).own_motion == 0


def test_a_regressor_draws_once():
    args = arguments("-num_proposals", 7, "--deterministic", "-sampling_timesteps", 3)
    assert args.deterministic and args.num_proposals == args.sampling_timesteps == 1
    assert arguments("--sample", sample_defaults={"deterministic": True}).num_proposals == 1


def test_reported_subjects_are_left_to_the_data_unless_given():
    assert arguments("-sun", "S9").subjects_test is None
    assert arguments("-sun", "S9", "-ste", "S1,S9").subjects_test == ["S1", "S9"]


def test_a_source_model_may_be_of_the_target_subjects():
    assert arguments("-str", "S5", "-sun", "S5", "--source-only").subjects_train == ["S5"]


def test_names_are_trimmed_and_taken_once():
    assert arguments("-sun", " S5, S6,S5,,").subjects_unlabeled == ["S5", "S6"]


def test_sample_brings_defaults_that_any_flag_beats(capsys):
    args = arguments("--sample")
    assert {name: getattr(args, name) for name in SAMPLE} == SAMPLE
    assert args.depth == 8  # what the sample does not set stays
    assert "64" in capsys.readouterr().out
    given = arguments("-cs", 512, "--sample", "-lr", "1e-4", "-e", 40, "--data-dir", "data", "--rank", 2)
    full = arguments("--rank", 2)
    assert all(getattr(given, name) == getattr(full, name) for name in SAMPLE)  # the full-size values, asked for


def test_the_scripts_sample_settings_are_flags():
    defaults = h36m_transfer.SAMPLE_DEFAULTS
    assert defaults.keys() <= vars(arguments()).keys()
    args = arguments("--sample", sample_defaults=defaults)
    assert {name: getattr(args, name) for name in defaults} == defaults
    for name, value in defaults.items():
        assert type(value) is type(getattr(arguments(), name)) or isinstance(value, Path)


BAD = [
    ("-str S1,S5 -sun S5,S6", "S5 is both"), ("-str S1 -sun S1 --supervised-target", "S1 is both"),
    ("-str S5", "S5 is both"), ("-str ,", "-str"), ("-sun ,", "-sun"),
    ("-ste ,", "-ste"), ("-a ,", "-a"), ("-b 0", "above zero, found 0"), ("-b -4", "found -4"), ("-b 1.5", "found 1.5"),
    ("-e ten", "above zero, found ten"), ("-f 0", "-f"), ("-num_proposals 0", "-num_proposals"),
    ("-sampling_timesteps 0", "-sampling_timesteps"), ("-cf 0", "-cf"), ("-timestep 0", "-timestep"),
    ("-lr 0", "-lr: expected a number above zero"), ("-lr -1", "-lr"), ("-lr nan", "-lr"), ("-lr inf", "-lr"),
    ("-lr fast", "-lr"), ("-lrd 0", "-lrd"), ("--source-lr 0", "--source-lr"), ("--source-lrd -1", "--source-lrd"),
    ("-scale 0", "-scale"), ("--ema-decay 1", "--ema-decay"), ("--ema-decay -0.1", "--ema-decay"),
    ("--ema-decay nan", "--ema-decay"), ("--drop-path 1", "--drop-path"), ("-cs 20", "-cs"), ("-cs 0", "-cs"),
    ("--root middle", "--root"), ("--select best", "--select"), ("--seed -1", "--seed"), (f"--seed {2**64}", "--seed"),
    ("--seed x", "--seed"), ("--unknown", "--unknown"), ("--evaluate", "--evaluate"), ("stray", "stray"),
    ("--source-only --source-checkpoint a.bin", "--source-checkpoint"), ("--yaw 200", "--yaw: expected degrees from 0"),
    ("--prior-error -1", "--prior-error: expected metres"), ("--prior-error nan", "--prior-error"),
    ("--prior-error 0.1 --deterministic", "0 with --deterministic"), ("--own-motion 1", "--own-motion"),
    ("--relabel 0", "--relabel"), ("--own-motion -1", "--own-motion: expected a number"),
    ("--yaw -1", "found -1"), ("--yaw nan", "--yaw"), ("--teacher-start 1", "--teacher-start: expected a number from"),
    ("--teacher-start -0.1", "--teacher-start"), ("--teacher-start nan", "--teacher-start"),
    ("--refine both", "--refine"), ("--no-lora", "--no-lora"),
    ("--rate 0", "--rate: expected frames a second up to 1000, found 0"), ("--rate -5", "--rate"),
    ("--rate nan", "--rate"), ("--rate inf", "--rate"), ("--rate fast", "--rate"), ("--rate 1001", "found 1001"),
    ("--fps 0", "--fps: expected frames a second"), ("--fps -1", "--fps"), ("--fps nan", "--fps"), ("--fps x", "--fps"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "words"), BAD)
def test_bad_flags_end_with_one_line_and_code_2(flags, words, capsys):
    with pytest.raises(SystemExit) as caught:
        run_script(lambda: arguments(*flags.split()))
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    assert words in err


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        arguments("--sample", "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for action in h36m_parser("a test")._actions:
        assert all(flag in text for flag in action.option_strings)
        assert action.help, action.dest


def test_a_switch_among_the_sample_defaults(capsys, monkeypatch):
    defaults = {"lora": True, "virtual_camera": False, "rank": 16}
    monkeypatch.setattr("sys.argv", ["a test", "--sample"])
    args = parse(mpi_3dhp_parser("a test"), defaults)
    assert args.lora and not args.virtual_camera
    assert capsys.readouterr().out == "--sample stands for --lora --rank 16\n"
    monkeypatch.setattr("sys.argv", ["a test"])
    assert not parse(mpi_3dhp_parser("a test"), defaults).lora


def test_flags_of_the_3dhp_script():
    parser = mpi_3dhp_parser("a test")
    args = parser.parse_args(["--target-split", "test", "--target-intrinsics", "estimate"])
    assert (args.target_split, args.target_intrinsics) == ("test", "estimate")
    assert parser.parse_args([]).subjects_train == ["S1", "S5", "S6", "S7", "S8"]
    assert "subjects_unlabeled" not in args
