"""Human3.6M to MPI-INF-3DHP: adapt a Human3.6M-trained lifter to 3DHP from 2D alone, write and score its predictions.

    python h36m_3dhp_transfer.py --sample             # synthetic data, a small model, minutes on a CPU
    python h36m_3dhp_transfer.py -k cpn_ft_h36m_dbb   # Human3.6M and 3DHP files in data/

Reads in one order: arguments, data, source model, adaptation, oracle, evaluation, report. The two training loops are
those of h36m_transfer.py, word for word.
"""

import copy
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import torch

from common import processes
from common.adaptation.floor import with_up
from common.adaptation.pseudo_labels import PseudoLabels
from common.adaptation.synthesis import Synthesis, cameras_differ, synthesise
from common.adaptation.teacher import Teacher, ray_errors
from common.datasets.clips import Batch, Clips, LabelledBatch
from common.datasets.h36m import H36MFiles
from common.datasets.mpi_3dhp import load_3dhp_test, load_3dhp_train, load_3dhp_videos
from common.datasets.rates import fit_to_rate, usual_rate
from common.datasets.video import Dataset, LabelledVideo, Video
from common.errors import run_script
from common.evaluation.mat_files import write_results
from common.evaluation.metrics import joint_errors
from common.evaluation.protocol_3dhp import Evaluation3DHP, evaluate_3dhp
from common.evaluation.uncertainty import fitted_scale
from common.geometry.skeleton import H36M_17
from common.model.checkpoint import weights_hash
from common.model.inference import Sampling
from common.model.lifter import Lifter
from common.model.lora import add_lora
from common.model.registry import DENOISERS
from common.reprojection.bones import SourceBones
from common.reprojection.keypoint_noise import KeypointNoise
from common.reprojection.refinement import Refinement
from common.run.arguments import arguments_dict, mpi_3dhp_parser
from common.run.device import SAMPLE_DIR, start_run
from common.run.models import apply_speed_flags, given_models, refinement_of
from common.run.predictions import write_predictions
from common.run.render import render_video, select_video
from common.run.report import REFINED_ROWS, TITLES, headline, metrics_record, run_facts, tables_3dhp, write_report
from common.run.runlog import Record, RunLog
from common.run.stages import SOURCE_FILE, Stage, archive_previous_run, epoch_score, prepare_folder, set_learning_rate
from common.tensors import to_device

SAMPLE_DEFAULTS = {
    "data_dir": SAMPLE_DIR, "channels": 64, "depth": 2, "number_of_frames": 9, "downsample": 10, "batch_size": 16,
    "source_epochs": 30, "source_lr": 3e-3, "source_lrd": 0.88, "oracle_epochs": 400,
    "epochs": 100, "learning_rate": 4e-3, "lr_decay": 0.97, "ema_decay": 0.99, "drop_path": 0.0,
    "num_proposals": 2, "sampling_timesteps": 1, "rank": 16,
}  # fmt: skip
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.1
REPROJECTION_WEIGHT = 0.5


def main() -> None:
    # Arguments and data. Nothing is written before both are known to be good.
    args, device = start_run(mpi_3dhp_parser(__doc__.splitlines()[0]), SAMPLE_DEFAULTS)
    if not (args.source_checkpoint or args.evaluate or args.resume is not None or args.source_only):
        present = args.checkpoint / SOURCE_FILE
        args.source_checkpoint = present if present.is_file() else None
    h36m = H36MFiles(args.data_dir, args.keypoints, args.fps).labelled(args.subjects_train, args.actions)
    args.rate = args.rate or usual_rate(h36m.videos) / args.downsample
    h36m, test = fit_to_rate(h36m, args.rate, "source"), load_3dhp_test(args.data_dir)
    # What adaptation is given: 2D and cameras. Labels go to the evaluation and to the oracle.
    on_train = args.target_split == "train"
    target_data = load_3dhp_videos(args.data_dir, args.target_intrinsics) if on_train else test.unlabelled()
    target_data = fit_to_rate(target_data, args.rate, "target")
    oracle_data = load_3dhp_train(args.data_dir, args.target_intrinsics) if args.supervised_target else None
    data = Dataset.joined([h36m, test, target_data, *([oracle_data] if oracle_data else [])])
    data.announce()
    source, target = h36m.videos, target_data.videos
    reported = [v.at_rate(args.rate) for v in test.videos]
    drawn = select_video(reported, args) if args.render else None

    models = given_models(args, device, foreign_order=None)  # decides the sizes
    about = {
        "protocol": f"Human3.6M {','.join(args.subjects_train)} -> MPI-INF-3DHP, 2D of the {args.target_split} split",
        "data": data.provenance,
        "synthetic": data.synthetic,
        "keypoints": args.keypoints,
        "notes": data.notes,
        "arguments": arguments_dict(args),
    }
    sampling = Sampling(args.num_proposals, args.sampling_timesteps, seed=args.seed)
    noise = KeypointNoise.measure(source, target)
    score = epoch_score(args, target, reported)
    histories: dict[str, list[Record]] = {}

    if args.evaluate:
        archive_previous_run(args.checkpoint)
    else:
        prepare_folder(args)
        with RunLog(None if args.nolog or not processes.is_main() else args.log) as log:
            # Source model, from labels.
            if "source_only" not in models:
                models["source_only"], histories["source_only"] = train_supervised(
                    "source_only", source, args, about, device, log
                )
            # Adaptation, from the target's 2D.
            if not args.source_only:
                models["adapted"], histories["adapted"] = adapt(
                    models["source_only"], source, target, noise, score, args, about, device, log
                )
            # Oracle, from the labels of 3DHP's training sequences: what adaptation could reach at best.
            if oracle_data:
                labelled = fit_to_rate(oracle_data, args.rate, "oracle").videos
                labelled += source if args.supervised_target == "both" else []
                models["oracle"], histories["oracle"] = train_supervised("oracle", labelled, args, about, device, log)

    # Evaluation: every frame is predicted, the valid ones are scored.
    results: dict[str, Evaluation3DHP] = {}
    refinements: dict[str, Refinement | None] = {}
    downsampled_source = [v.at_rate(args.rate) for v in source]
    for row, model in models.items():
        begin = time.monotonic()
        refinements[row] = refined = refinement_of(row, model, downsampled_source, noise, args)
        results[row] = evaluate_3dhp(model, test.videos, sampling, args.root, refinement=refined, rate=args.rate)
        frames = sum(results[row].scores.frames)
        print(f"evaluated {row.replace('_', ' ')} on {frames} valid frames ({time.monotonic() - begin:.0f} s)")
    if not processes.is_main():
        return

    # Report: the predictions of the result for MATLAB and Octave, the numbers of every row.
    # Whatever the lifter's own rate, every frame is scored.
    facts = run_facts(about, [v.subject for v in test.videos], data.files, histories, usual_rate(test.videos), args)
    record = metrics_record({row: result.scores for row, result in results.items()}, facts)
    for row, result in results.items():
        record["rows"][row]["official_3dhp"] = result.official
    shown = next(row for row in ("adapted", "evaluated", "source_only") if row in results)
    result, best = results[shown], headline(record, shown)
    refinement = refinements[shown] if shown in REFINED_ROWS else None
    scale = fitted_scale(models[shown], downsampled_source, sampling, refinement)
    write_results(args.checkpoint, result.predictions, best, result.spreads, scale, test.videos)
    if args.save_predictions or args.csv:
        write_predictions(args.checkpoint, result.results(best, test.videos, scale), args.csv)
    write_report(record, tables_3dhp(record, shown, args.p2), args.checkpoint)
    print(f"predictions, {TITLES[shown]}: {args.checkpoint / 'inference_data.mat'}, and one per aggregation")
    if drawn is not None:
        render_video(models, refinements, drawn, downsampled_source, sampling, data, args)


def train_supervised(
    name: str,
    videos: list[LabelledVideo],
    args: Namespace,
    about: dict[str, Any],
    device: torch.device,
    log: RunLog,
) -> tuple[Lifter, list[Record]]:
    """Train a lifter from scratch on labelled videos, as D3DP does: one noised pose per clip, error of its x0."""
    clips = Clips(videos, args.number_of_frames, args.rate)
    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    joints = len(H36M_17.joints)
    denoiser = DENOISERS[args.model].build(args.number_of_frames, joints, args.channels, args.depth, args.drop_path)
    flags = (args.timestep, args.scale, args.virtual_camera, args.deterministic, args.prior_error)
    lifter, fused = Lifter(denoiser, *flags).to(device), device.type == "cuda"
    optimizer = torch.optim.AdamW(lifter.parameters(), betas=BETAS, weight_decay=WEIGHT_DECAY, fused=fused)

    batch_size = args.batch_size * args.accumulate
    steps = clips.steps(batch_size)
    epochs = (args.oracle_epochs if name == "oracle" else None) or args.source_epochs
    decay = args.source_lrd ** (args.source_epochs / epochs)  # as much in all, however many epochs
    stage = Stage(name, epochs, steps, lifter, optimizer, generator, args, log)
    stage.resume()
    model = processes.data_parallel(apply_speed_flags(lifter, args))
    for epoch in stage.epochs():
        lifter.train()
        total = torch.zeros((), device=device)
        for step, batch in enumerate(clips.epoch(batch_size, generator, flip=not args.no_data_augmentation)):
            batch = batch.to(device)
            t = to_device(torch.randint(args.timestep, (len(batch),), generator=generator), device)
            noise = to_device(torch.randn(batch.pose.shape, generator=generator), device)
            noisy = lifter.diffusion.add_noise(batch.pose, t, noise)  # (B, T, J, 3)
            weight = batch.weights() * lifter.noise_weights(t)  # (B, T, J)

            set_learning_rate(optimizer, args.source_lr, decay, epoch, (epoch - 1) * steps + step)
            optimizer.zero_grad(set_to_none=True)
            parts = processes.micro_batches(len(batch), args.accumulate, denoiser.clip_values, device)
            for part in processes.sync_on_last(model, parts):
                keypoints, intrinsics, pose = batch.keypoints[part], batch.intrinsics[part], batch.pose[part]
                predicted = model(keypoints, noisy[part, None], t[part], intrinsics)[:, 0]
                loss = (weight[part] * joint_errors(predicted, pose)).sum() / weight.sum()
                (loss * processes.world_size()).backward()  # gradients are averaged over the processes
                total += loss.detach() * len(batch)
            optimizer.step()
            stage.step_done()
        stage.record({"training_mm": total}, len(clips))
        stage.save(about)
    return lifter.eval(), stage.history


def adapt(
    source_lifter: Lifter,
    source: list[LabelledVideo],
    target: list[Video],
    noise: KeypointNoise,
    score: Callable[[Lifter], float] | None,
    args: Namespace,
    about: dict[str, Any],
    device: torch.device,
    log: RunLog,
) -> tuple[Lifter, list[Record]]:
    """Adapt a source model to target 2D (PoSynDA, sections 3.2 to 3.4); a `Video` has no label that could be read.

    Args:
        noise: of the target's keypoints. score: what `--select` says of an epoch, None for the last one.
    """
    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    source_clips = Clips(source, args.number_of_frames, args.rate)
    batch_size = args.batch_size * args.accumulate
    flip = not args.no_data_augmentation
    source_stream = source_clips.endless(batch_size, generator, flip)

    # What the target looks like, from its 2D: bones per person, detector noise, cameras.
    downsampled_source = [v.at_rate(args.rate) for v in source]
    downsampled_target = [v.at_rate(args.rate) for v in target]
    bones = SourceBones.measure(source_lifter, downsampled_source)
    ratios = bones.ratios(source_lifter, downsampled_target)
    move = cameras_differ(torch.stack([v.intrinsics for v in source]), torch.stack([v.intrinsics for v in target]))
    print(f"target cameras: {'others' if move else 'the same'}; detector noise: {noise.ratio:.2f} of the source's")
    how = Synthesis(noise.ratio, move, math.radians(args.yaw))
    refinement = Refinement(bones, noise.target, args.refine) if args.refine != "none" else None
    if move or args.own_motion:
        target = with_up(source_lifter, target, args.rate, refinement or Refinement(bones, noise.target))
    target_clips = Clips(target, args.number_of_frames, args.rate)
    labels = PseudoLabels(target_clips, args.rate, args.num_proposals, args.relabel, args.own_motion, flip)

    student = copy.deepcopy(source_lifter)
    student.denoiser.set_drop_path(args.drop_path)
    if args.lora:
        add_lora(student.denoiser, args.rank)
    teacher = Teacher(student, args.ema_decay)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=device.type == "cuda")
    first_taught = math.inf if args.no_teacher else round(args.teacher_start * args.epochs) + 1
    steps = target_clips.steps(batch_size)
    stage = Stage("adapted", args.epochs, steps, student, optimizer, generator, args, log)
    if state := stage.resume(base := weights_hash(source_lifter)):
        teacher.load_state(state)
        labels.load_state(state, teacher.lifter, refinement)
        ratios, first_taught = state["ratios"], state["first_taught"]
    model = processes.data_parallel(apply_speed_flags(student, args))
    apply_speed_flags(teacher.lifter, args)

    weights = {"source_mm": 1.0, "pseudo_label_mm": args.pseudo_weight, "reprojection": REPROJECTION_WEIGHT}
    for epoch in stage.epochs():
        student.train()
        taught = epoch >= first_taught
        totals = {name: torch.zeros((), device=device) for name in weights if taught or name == "source_mm"}
        if epoch == first_taught:  # seen through a better lifter than at the start
            ratios = SourceBones.measure(teacher.lifter, downsampled_source).ratios(teacher.lifter, downsampled_target)
        target_epoch: Iterator[Batch] = target_clips.epoch(batch_size, generator, flip)
        if taught:
            lengths = {name: bones.lengths * ratio for name, ratio in ratios.items()}
            labels.relabel(teacher.lifter, lengths, refinement, epoch - int(first_taught))
            target_epoch = labels.batches(batch_size, generator, steps)
        for step, target_batch in enumerate(target_epoch):
            # 1. Source clips, made to look like the target.
            source_batch = next(source_stream).first(len(target_batch))
            clip_ratios = torch.stack([ratios[name] for name in target_batch.subjects])
            shaped = torch.ones_like(clip_ratios) if args.no_bone_ratios else clip_ratios
            if not args.no_source_augmentation:
                source_batch = synthesise(source_batch, target_batch, shaped, how, generator)
            if taught:
                source_batch = labels.mixed_into(source_batch, target_batch, how, generator)
            source_batch, target_batch = source_batch.to(device), target_batch.to(device)

            # 2. Target clips, labelled by the teacher. The joints' weights are 1 in all over each kind of clip.
            keypoints, intrinsics, pose = source_batch.keypoints, source_batch.intrinsics, source_batch.pose
            weight = source_batch.weights() / source_batch.weights().sum()  # (B, T, J)
            if isinstance(target_batch, LabelledBatch):
                keypoints = torch.cat([keypoints, target_batch.keypoints])
                intrinsics = torch.cat([intrinsics, target_batch.intrinsics])
                pose = torch.cat([pose, target_batch.pose])
                weight = torch.cat([weight, target_batch.weights() / target_batch.weights().sum().clamp_min(1)])

            # The student denoises both.
            t = to_device(torch.randint(args.timestep, (len(pose),), generator=generator), device)
            draws = to_device(torch.randn(pose.shape, generator=generator), device)
            noisy = student.diffusion.add_noise(pose, t, draws)
            weight = weight * student.noise_weights(t)
            n = len(source_batch)
            of_target = torch.arange(len(pose), device=device)[:, None, None] >= n  # (B, 1, 1)
            seen = torch.cat([source_batch.weights(), target_batch.weights()])[: len(pose)]  # (B, T, J)

            set_learning_rate(optimizer, args.learning_rate, args.lr_decay, epoch, (epoch - 1) * steps + step)
            optimizer.zero_grad(set_to_none=True)
            parts = processes.micro_batches(len(pose), args.accumulate, student.denoiser.clip_values, device)
            for part in processes.sync_on_last(model, parts):
                predicted = model(keypoints[part], noisy[part, None], t[part], intrinsics[part])[:, 0]
                errors = weight[part] * joint_errors(predicted, pose[part])  # (B, T, J)
                losses = {"source_mm": errors.sum()}
                if taught:
                    losses["pseudo_label_mm"] = errors.where(of_target[part], 0).sum()
                    losses["source_mm"] = losses["source_mm"] - losses["pseudo_label_mm"]
                    rays = ray_errors(predicted, keypoints[part], intrinsics[part], seen[part])
                    rays = (seen[part] * rays).where(of_target[part], 0)
                    losses["reprojection"] = rays.sum() / seen[n:].sum().clamp_min(1)
                loss = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
                (loss * processes.world_size()).backward()  # gradients are averaged over the processes
                for name, value in losses.items():
                    totals[name] += value.detach()
            optimizer.step()
            teacher.update(student)
            stage.step_done()
        record = stage.record(totals, steps)
        if score is not None:
            record["selection_score"] = score(student)
        if refinement is not None:
            refinement = refinement.remeasured(student.eval(), downsampled_source)
            about = about | {"refinement": refinement.to_dict()}
        extra = {"base": base, "ratios": ratios, "first_taught": first_taught, **teacher.state(), **labels.state()}
        stage.save(about, extra, keep_best=True)
    return stage.best(device), stage.history


if __name__ == "__main__":
    run_script(main, processes.finish, "stopped; continue with --resume")
