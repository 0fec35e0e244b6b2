"""Human3.6M to MPI-INF-3DHP: adapt a Human3.6M-trained lifter to 3DHP from 2D alone, write and score its predictions.

    python h36m_3dhp_transfer.py --sample             # synthetic data, a small model, minutes on a CPU
    python h36m_3dhp_transfer.py -k cpn_ft_h36m_dbb   # Human3.6M and 3DHP files in data/

Reads in one order: arguments, data, source model, adaptation, oracle, evaluation, report.
"""

import copy
import math
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from common import processes
from common.adaptation.floor import with_up
from common.adaptation.selection import CRITERIA
from common.adaptation.synthesis import Synthesis, cameras_differ, synthesise
from common.adaptation.teacher import Teacher, pseudo_label, ray_errors
from common.datasets.clips import Clips
from common.datasets.h36m import FRAME_RATE, load_h36m
from common.datasets.mpi_3dhp import load_3dhp_test, load_3dhp_train
from common.datasets.video import Sequence
from common.errors import InputError, run_script
from common.evaluation.mat_files import write_annotations, write_expected_errors, write_inference
from common.evaluation.metrics import joint_errors
from common.evaluation.protocol import evaluate
from common.evaluation.protocol_3dhp import Evaluation3DHP, evaluate_3dhp
from common.evaluation.scores_3dhp import compare_3dhp, format_3dhp
from common.evaluation.uncertainty import fitted_scale
from common.geometry.skeleton import H36M_17
from common.model.checkpoint import load_lifter, save_checkpoint, weights_hash
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.mixste import MixSTE
from common.reprojection.bones import SourceBones
from common.reprojection.keypoint_noise import noise_factor, target_noise
from common.reprojection.refinement import Refinement
from common.run.arguments import mpi_3dhp_parser, parse, plain_arguments
from common.run.device import pick_device
from common.run.models import find_checkpoint, fitting_lifter, set_speed, stored_refinement
from common.run.render import chosen_video, render_sequence
from common.run.report import REFINED_ROWS, TITLES, headline, label, metrics_record, run_facts, tables, write_report
from common.run.runlog import Progress, RunLog
from common.run.stages import (
    BEST_FILE,
    SOURCE_FILE,
    keep_epoch,
    prepare_folder,
    restore,
    resumed,
    seed_dropping,
    set_aside,
    set_learning_rate,
)
from common.tensors import to_device

SAMPLE_DIR = Path("data/sample")
SAMPLE_DEFAULTS = {
    "data_dir": SAMPLE_DIR, "channels": 64, "depth": 2, "number_of_frames": 9, "downsample": 10, "batch_size": 16,
    "source_epochs": 30, "source_lr": 3e-3, "source_lrd": 0.88, "oracle_epochs": 400,
    "epochs": 100, "learning_rate": 4e-3, "lr_decay": 0.97, "ema_decay": 0.99, "drop_path": 0.0,
    "num_proposals": 2, "sampling_timesteps": 1, "rank": 16,
}  # fmt: skip
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.1
REPROJECTION_WEIGHT = 0.5
SELECTION_VIDEOS = 32  # looked at after each epoch when the epoch is selected


def main() -> None:
    # Arguments and data. Nothing is written before both are known to be good.
    args = parse(mpi_3dhp_parser(__doc__.splitlines()[0]), SAMPLE_DEFAULTS)
    device = pick_device(args.gpu)
    torch.set_float32_matmul_precision("high" if args.tf32 and device.type == "cuda" else "highest")
    if args.sample and args.data_dir == SAMPLE_DIR and not SAMPLE_DIR.exists() and processes.is_first():
        from common.sample.files import make_sample

        make_sample(SAMPLE_DIR)
    processes.wait()
    if not (args.source_checkpoint or args.evaluate or args.resume is not None or args.source_only):
        present = args.checkpoint / SOURCE_FILE
        args.source_checkpoint = present if present.is_file() else None
    h36m = load_h36m(args.data_dir, args.keypoints, args.subjects_train, args.actions)
    mpi_test = load_3dhp_test(args.data_dir)
    loaded = [h36m, mpi_test]
    source = [s for name in args.subjects_train for s in h36m.sequences[name]]
    # What adaptation is given: 2D and cameras. Labels go to the evaluation and to the oracle.
    target = [entry.sequence.unlabelled() for entry in mpi_test.test.values()]
    if args.target_split == "train" or args.supervised_target:
        mpi_train = load_3dhp_train(args.data_dir, args.target_intrinsics)
        loaded.append(mpi_train)
        print(f"target intrinsics: {mpi_train.intrinsics}")
    if args.target_split == "train":
        target = [s.unlabelled() for s in mpi_train.train]
    provenances = list(dict.fromkeys(part.provenance for part in loaded))
    print(f"data: {'; '.join(provenances)}")
    for note in (note for part in loaded for note in part.notes):
        print(f"note: {note}")
    reported = [entry.sequence.downsampled(args.downsample) for entry in mpi_test.test.values()]
    video = chosen_video(reported, args) if args.render else None

    # A model that is given decides the sizes.
    given = find_checkpoint(args.evaluate, args.checkpoint) if args.evaluate else args.source_checkpoint
    given_lifter = set_speed(fitting_lifter(given, args, device, foreign_order=None), args) if given else None
    about = {
        "protocol": f"Human3.6M {','.join(args.subjects_train)} -> MPI-INF-3DHP, 2D of the {args.target_split} split",
        "data": "; ".join(provenances),
        "synthetic": any(part.synthetic for part in loaded),
        "keypoints": args.keypoints,
        "arguments": plain_arguments(args),
    }
    sampling = Sampling(args.num_proposals, args.sampling_timesteps, seed=args.seed)
    models: dict[str, Lifter] = {}
    histories: dict[str, list[dict[str, float]]] = {}

    if args.evaluate:
        models["evaluated"] = given_lifter
        if processes.is_first():
            set_aside(args.checkpoint)
    else:
        prepare_folder(args)
        with RunLog(None if args.nolog or not processes.is_first() else args.log) as log:
            # Source model, from labels.
            if args.source_checkpoint:
                models["source_only"] = given_lifter
            else:
                models["source_only"], histories["source_only"] = train_supervised(
                    "source_only", source, args, about, device, log
                )
            # Adaptation, from the target's 2D.
            if not args.source_only:
                judged = reported if args.select == "oracle" else [s.downsampled(args.downsample) for s in target]
                models["adapted"], histories["adapted"] = adapt(
                    models["source_only"], source, target, judged, args, about, device, log
                )
            # Oracle, from the labels of 3DHP's training sequences: what adaptation could reach at best.
            if args.supervised_target:
                labelled = mpi_train.train + (source if args.supervised_target == "both" else [])
                models["oracle"], histories["oracle"] = train_supervised("oracle", labelled, args, about, device, log)

    # Evaluation: every frame is predicted, the valid ones are scored.
    results: dict[str, Evaluation3DHP] = {}
    refinements: dict[str, Refinement | None] = {}
    thin_source = [s.downsampled(args.downsample) for s in source]
    noise = target_noise(source, target)
    for row, model in models.items():
        begin = time.monotonic()
        refinements[row] = None
        if args.evaluate:
            refinements[row] = stored_refinement(given, args)
        elif args.refine != "none":
            refinements[row] = Refinement(SourceBones.measured(model, thin_source), noise, args.refine)
        results[row] = evaluate_3dhp(model, mpi_test.test, sampling, args.root, args.downsample, refinements[row])
        frames = sum(results[row].scores.frames)
        print(f"evaluated {row.replace('_', ' ')} on {frames} valid frames ({time.monotonic() - begin:.0f} s)")

    if not processes.is_first():
        return

    # Report: the predictions of the result for MATLAB and Octave, the numbers of every row.
    files = {name: digest for part in loaded for name, digest in part.files.items()}
    facts = run_facts(about, list(mpi_test.test), files, histories, args)
    facts["frame_rate"] = FRAME_RATE  # whatever the lifter's own rate, every frame is scored
    record = metrics_record({row: result.scores for row, result in results.items()}, facts)
    for row, result in results.items():
        record["rows"][row]["official_3dhp"] = result.official
    shown = next(row for row in ("adapted", "evaluated", "source_only") if row in results)
    result, official = headline(record, shown), {}
    for row in results:
        name = headline(record, row)
        official[f"{TITLES[row]}, {label(name)}"] = results[row].official[name]
    text = (
        f"{TITLES[shown]}, {label(result)}, official scores\n{format_3dhp(results[shown].official[result])}\n\n"
        f"{compare_3dhp(official)}\n\n{tables(record, args.p2, action='test sequence')}"
    )
    args.checkpoint.mkdir(parents=True, exist_ok=True)
    for aggregation, predictions in results[shown].predictions.items():
        write_inference(args.checkpoint / f"inference_data_{aggregation}.mat", predictions)
    write_inference(args.checkpoint / "inference_data.mat", results[shown].predictions[result])
    scale = fitted_scale(models[shown], thin_source, sampling, refinements[shown] if shown in REFINED_ROWS else None)
    if scale is not None:
        write_expected_errors(args.checkpoint / "expected_error.mat", results[shown].spreads, scale)
    write_annotations(args.checkpoint / "test_annotations.mat", mpi_test.test)
    write_report(record, text, args.checkpoint)
    print(
        f"predictions, {TITLES[shown]}: {args.checkpoint / 'inference_data.mat'} ({label(result)}), "
        "and one per aggregation"
    )
    if args.render:
        render_sequence(models, refinements, video, sampling, about["synthetic"], args)


def train_supervised(
    stage: str, sequences: list[Sequence], args: Namespace, about: dict[str, Any], device: torch.device, log: RunLog
) -> tuple[Lifter, list[dict[str, float]]]:
    """Train a lifter from scratch on labelled sequences, as D3DP does: one noised pose per clip, error of its x0."""
    clips = Clips(sequences, args.number_of_frames, args.downsample)
    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    estimator = MixSTE(args.number_of_frames, len(H36M_17.joints), args.channels, args.depth, drop_path=args.drop_path)
    lifter = Lifter(estimator, args.timestep, args.scale, args.virtual_camera, args.deterministic).to(device)
    fused = device.type == "cuda"
    optimizer = torch.optim.AdamW(lifter.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY, fused=fused)
    history: list[dict[str, float]] = []
    state = resumed(stage, args)
    if state:
        estimator.load_state_dict(state["training"]["student"])
        optimizer.load_state_dict(state["optimizer"])
        history = restore(state, generator)
    model = processes.parallel(set_speed(lifter, args))

    batch_size = args.batch_size * args.accumulate
    steps = clips.steps(batch_size)
    epochs = (args.oracle_epochs if stage == "oracle" else None) or args.source_epochs
    decay = args.source_lrd ** (args.source_epochs / epochs)  # as much in all, however many epochs
    progress = Progress(stage, epochs * steps, len(history) * steps)
    for epoch in range(len(history) + 1, epochs + 1):
        lifter.train()
        seed_dropping(args.seed, epoch)
        begin, total = time.monotonic(), torch.zeros((), device=device)
        for step, batch in enumerate(clips.epoch(batch_size, generator, flip=not args.no_data_augmentation)):
            batch = batch.to(device)
            t = to_device(torch.randint(args.timestep, (len(batch),), generator=generator), device)
            noise = to_device(torch.randn(batch.pose.shape, generator=generator), device)
            noisy = lifter.diffusion.add_noise(batch.pose, t, noise)  # (B, T, J, 3)

            set_learning_rate(optimizer, args.source_lr, decay, epoch, (epoch - 1) * steps + step)
            optimizer.zero_grad(set_to_none=True)
            parts = processes.passes(len(batch), args.accumulate, lifter.pose_estimator.clip_values, device)
            for part in processes.in_turn(model, parts):
                keypoints, intrinsics, pose = batch.keypoints[part], batch.intrinsics[part], batch.pose[part]
                predicted = model(keypoints, noisy[part, None], t[part], intrinsics)[:, 0]
                loss = joint_errors(predicted, pose).sum() / batch.pose[..., 0].numel()
                (loss * processes.count()).backward()  # gradients are averaged over the processes
                total += loss.detach() * len(batch)
            optimizer.step()
            progress.step()
        history.append({
            "epoch": epoch, "lr": optimizer.param_groups[0]["lr"], "seconds": time.monotonic() - begin,
            "training_mm": processes.summed(total).item() / len(clips) * 1000,
        })  # fmt: skip
        progress.clear()
        log.epoch(stage, history[-1], epochs)
        keep_epoch(stage, lifter, optimizer, history, generator, about, args)
    return lifter.eval(), history


def adapt(
    source_lifter: Lifter,
    source: list[Sequence],
    target: list[Sequence],
    judged: list[Sequence],
    args: Namespace,
    about: dict[str, Any],
    device: torch.device,
    log: RunLog,
) -> tuple[Lifter, list[dict[str, float]]]:
    """Adapt a source model to target 2D (PoSynDA, sections 3.2 to 3.4). `target` has no labels; nor has `judged`, on
    which `--select` compares the epochs, unless the user asked for the oracle's choice."""
    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    source_clips = Clips(source, args.number_of_frames, args.downsample)
    batch_size = args.batch_size * args.accumulate
    source_stream = source_clips.endless(batch_size, generator, flip=not args.no_data_augmentation)

    # What the target looks like, from its 2D: bones per person, detector noise, cameras.
    thin_source, thin_target = ([s.downsampled(args.downsample) for s in videos] for videos in (source, target))
    bones = SourceBones.measured(source_lifter, thin_source)
    ratios = bones.ratios(source_lifter, thin_target)
    noise_ratio = noise_factor([s.keypoints for s in source], [s.keypoints for s in target])
    move = cameras_differ(torch.stack([s.intrinsics for s in source]), torch.stack([s.intrinsics for s in target]))
    print(f"target cameras: {'others' if move else 'the same'}; detector noise: {noise_ratio:.2f} of the source's")
    how = Synthesis(noise_ratio, move, math.radians(args.yaw))
    noise = target_noise(source, target)
    refinement = Refinement(bones, noise, args.refine) if args.refine != "none" else None
    if move:
        target = with_up(source_lifter, target, args.downsample, refinement or Refinement(bones, noise))
    target_clips = Clips(target, args.number_of_frames, args.downsample)

    student = copy.deepcopy(source_lifter)
    student.pose_estimator.set_drop_path(args.drop_path)
    if args.lora:
        add_lora(student.pose_estimator, args.rank)
    teacher = Teacher(student, args.ema_decay)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=device.type == "cuda")
    base_hash = weights_hash(source_lifter)
    first_taught = math.inf if args.no_teacher else round(args.teacher_start * args.epochs) + 1
    history: list[dict[str, float]] = []
    state = resumed("adapted", args)
    if state:
        if state["training"]["base"] != base_hash:
            raise InputError(
                f"{args.checkpoint}: its adaptation started from another source model (hash "
                f"{state['training']['base'][:12]}, now {base_hash[:12]}); give another -c, or the same source"
            )
        student.pose_estimator.load_state_dict(state["training"]["student"])
        teacher.lifter.pose_estimator.load_state_dict(state["training"]["teacher"])
        teacher.updates = state["training"]["teacher_updates"]
        ratios, first_taught = state["training"]["ratios"], state["training"]["first_taught"]
        optimizer.load_state_dict(state["optimizer"])
        history = restore(state, generator)
    model = processes.parallel(set_speed(student, args))
    set_speed(teacher.lifter, args)

    names = ("source_mm", "pseudo_label_mm", "reprojection")
    weights = torch.tensor([1.0, args.pseudo_weight, REPROJECTION_WEIGHT]).to(device)
    steps = target_clips.steps(batch_size)
    progress = Progress("adapted", args.epochs * steps, len(history) * steps)
    for epoch in range(len(history) + 1, args.epochs + 1):
        student.train()
        seed_dropping(args.seed, epoch)
        begin, taught = time.monotonic(), epoch >= first_taught
        totals = torch.zeros(3 if taught else 1, device=device)
        if epoch == first_taught:  # seen through a better lifter than at the start
            better = SourceBones.measured(teacher.lifter, thin_source)
            ratios = better.ratios(teacher.lifter, thin_target)
        target_epoch = target_clips.epoch(batch_size, generator, flip=not args.no_data_augmentation)
        for step, target_batch in enumerate(target_epoch):
            # 1. Source clips, made to look like the target.
            source_batch = next(source_stream).first(len(target_batch))
            clip_ratios = torch.stack([ratios[name] for name in target_batch.subjects])
            shaped = torch.ones_like(clip_ratios) if args.no_bone_ratios else clip_ratios
            if not args.no_source_augmentation:
                source_batch = synthesise(source_batch, target_batch, shaped, how, generator)
            lengths = to_device(bones.lengths * clip_ratios, device)
            source_batch, target_batch = source_batch.to(device), target_batch.to(device)

            # 2. Target clips, labelled by the teacher. `share` is how much a joint counts, in all 1 per kind of clip.
            keypoints, intrinsics, pose = source_batch.keypoints, source_batch.intrinsics, source_batch.pose
            share = torch.ones_like(pose[..., 0]) / pose[..., 0].numel()  # (B, T, J)
            if taught:
                pseudo, belief = pseudo_label(
                    teacher.lifter, target_batch, lengths, refinement, args.num_proposals, generator
                )
                keypoints = torch.cat([keypoints, target_batch.keypoints])
                intrinsics = torch.cat([intrinsics, target_batch.intrinsics])
                pose = torch.cat([pose, pseudo])
                share = torch.cat([share, belief / belief.sum().clamp_min(1)])

            # The student denoises both.
            t = to_device(torch.randint(args.timestep, (len(pose),), generator=generator), device)
            noise = to_device(torch.randn(pose.shape, generator=generator), device)
            noisy = student.diffusion.add_noise(pose, t, noise)
            n = len(source_batch)
            of_target = torch.arange(len(pose), device=device)[:, None, None] >= n  # (B, 1, 1)

            set_learning_rate(optimizer, args.learning_rate, args.lr_decay, epoch, (epoch - 1) * steps + step)
            optimizer.zero_grad(set_to_none=True)
            parts = processes.passes(len(pose), args.accumulate, student.pose_estimator.clip_values, device)
            for part in processes.in_turn(model, parts):
                predicted = model(keypoints[part], noisy[part, None], t[part], intrinsics[part])[:, 0]
                errors = share[part] * joint_errors(predicted, pose[part])  # (B, T, J)
                losses = errors.sum()[None]
                if taught:
                    pseudo = errors.where(of_target[part], 0).sum()
                    rays = ray_errors(predicted, keypoints[part], intrinsics[part]).where(of_target[part], 0)
                    losses = torch.stack([errors.sum() - pseudo, pseudo, rays.sum() / share[n:].numel()])
                (losses @ weights[: len(losses)] * processes.count()).backward()  # gradients are averaged
                totals += losses.detach()
            optimizer.step()
            teacher.update(student)
            progress.step()
        history.append({
            "epoch": epoch, "lr": optimizer.param_groups[0]["lr"], "seconds": time.monotonic() - begin,
            **{
                name: value / steps * (1000 if name.endswith("_mm") else 1)
                for name, value in zip(names, processes.summed(totals).tolist())
            },
        })  # fmt: skip
        if args.select != "last":
            history[-1]["selection_score"] = selection_score(student, judged, args)
        progress.clear()
        log.epoch("adapted", history[-1], args.epochs)
        extra = {
            "base": base_hash,
            "teacher": teacher.lifter.pose_estimator.state_dict(),
            "teacher_updates": teacher.updates,
            "ratios": ratios,
            "first_taught": first_taught,
        }
        if refinement is not None:
            refinement = refinement.seen_by(student.eval(), thin_source)
            about = about | {"refinement": refinement.plain()}
        scores = [record.get("selection_score", -record["epoch"]) for record in history]
        if scores[-1] == min(scores) and processes.is_first():  # first, as a run stopped here does the epoch again
            save_checkpoint(args.checkpoint / BEST_FILE, student, epoch, history[-1]["lr"], about)
        keep_epoch("adapted", student, optimizer, history, generator, about, args, extra)
    processes.wait()  # for the file
    return set_speed(load_lifter(args.checkpoint / BEST_FILE, device), args), history


def selection_score(lifter: Lifter, videos: list[Sequence], args: Namespace) -> float:
    """How good an epoch is, lower is better, on evenly spread videos: by the 2D alone, or by the labels (oracle)."""
    videos = videos[:: max(len(videos) // SELECTION_VIDEOS, 1)]
    sampling = Sampling(args.num_proposals, 1, seed=args.seed)
    if args.select == "oracle":
        return evaluate(lifter, videos, sampling, "estimated").summary("J_Agg", "mpjpe_mm")["all_frames"]
    return CRITERIA[args.select](lifter, videos, sampling)


if __name__ == "__main__":
    run_script(main)
