function run_3dhp_eval(inference, annotations, step)
%RUN_3DHP_EVAL  The official MPI-INF-3DHP scores of predicted poses.
%
%   run_3dhp_eval()
%   run_3dhp_eval(INFERENCE)
%   run_3dhp_eval(INFERENCE, ANNOTATIONS)
%   run_3dhp_eval(INFERENCE, ANNOTATIONS, STEP)
%
%   INFERENCE    a .mat file with TS1 to TS6, each (3, 17, frames, diffusion steps) mm, in the joint order of
%                MPI-INF-3DHP; 'inference_data.mat' in the current folder when left out.
%   ANNOTATIONS  test_annotations.mat, which h36m_3dhp_transfer.py writes next to the predictions and which is looked
%                for there when left out; or the official test set's folder, with TS1/annot_data.mat to
%                TS6/annot_data.mat.
%   STEP         the diffusion step to score, from 1; 'last' (when left out) or 'all'.
%
%   Prints MPJPE, PCK at 150 mm and AUC by joint group, per sequence, per activity and overall, valid frames only, and
%   writes them, MPJPE by joint, next to INFERENCE:
%       mpii_3dhp_evaluation_sequencewise.csv, mpii_3dhp_evaluation_activitywise.csv
%   What follows 'inference_data' in the name of INFERENCE follows 'evaluation' in theirs; with 'all', so does the step.
%
%   From a shell:  octave --no-gui --eval "run_3dhp_eval('inference_data.mat')"
%   For MATLAB R2018b and GNU Octave 6 or newer, without toolboxes. common/evaluation/scores_3dhp.py computes the same.

if nargin < 1 || isempty(inference)
    inference = 'inference_data.mat';
end
inference = char(inference);
if nargin < 2 || isempty(annotations)
    annotations = fullfile(fileparts(inference), 'test_annotations.mat');
end
if nargin < 3 || isempty(step)
    step = 'last';
end

sequences = {'TS1', 'TS2', 'TS3', 'TS4', 'TS5', 'TS6'};
predicted = read_predictions(inference, sequences);
truth = read_annotations(char(annotations), sequences);
for s = 1:numel(sequences)
    frames = [size(predicted{s}, 3), size(truth(s).pose, 3)];
    if frames(1) ~= frames(2)
        stop('%s of %s has %d frames, its annotation has %d; both must hold every frame', ...
            sequences{s}, inference, frames(1), frames(2));
    end
end

last = size(predicted{1}, 4);
steps = chosen_steps(step, last);
for k = steps
    errors = cell(1, numel(sequences));
    for s = 1:numel(sequences)
        errors{s} = joint_errors(predicted{s}(:, :, truth(s).valid, k), truth(s).pose(:, :, truth(s).valid));
    end
    [by_sequence, by_activity, unlabelled] = score(errors, {truth.activity}, sequences);

    fprintf('%s, diffusion step %d of %d\n\n', inference, k, last);
    print_tables([by_sequence, by_activity]);
    fprintf(['MPJPE''s Average is over all 17 joints; PCK''s and AUC''s Total over the 14 joints in the groups. ' ...
        'Frames without an activity of 1 to 7: %d.\n'], unlabelled);

    [folder, stem] = fileparts(inference);
    stem = ['mpii_3dhp_evaluation', regexprep(['_', stem], '^_inference_data', '')];
    if numel(steps) > 1
        stem = sprintf('%s_step%d', stem, k);
    end
    write_csv(fullfile(folder, [stem, '_sequencewise.csv']), by_sequence);
    write_csv(fullfile(folder, [stem, '_activitywise.csv']), by_activity([2:end, 1]));
end
end


function names = joint_names()
names = {'head_top', 'neck', 'RShoulder', 'RElbow', 'RWrist', 'LShoulder', 'LElbow', 'LWrist', ...
    'RHip', 'RKnee', 'RAnkle', 'LHip', 'LKnee', 'LAnkle', 'pelvis', 'spine', 'head'};
end


function groups = joint_groups()
% Name and joints; pelvis, spine and head are in no group.
groups = {
    'Head', {'head_top'}
    'Neck', {'neck'}
    'Shou', {'RShoulder', 'LShoulder'}
    'Elbow', {'RElbow', 'LElbow'}
    'Wrist', {'RWrist', 'LWrist'}
    'Hip', {'RHip', 'LHip'}
    'Knee', {'RKnee', 'LKnee'}
    'Ankle', {'RAnkle', 'LAnkle'}};
end


function numbers = joint_numbers(names)
[~, numbers] = ismember(names, joint_names());
end


function predicted = read_predictions(file, sequences)
% Per sequence (3, 17, F, K) mm.
contents = read_mat(file);
predicted = cell(1, numel(sequences));
for s = 1:numel(sequences)
    name = sequences{s};
    if ~isfield(contents, name)
        stop('%s has no %s; expected predictions of TS1 to TS6', file, name);
    end
    poses = contents.(name);
    if ~isnumeric(poses) || ndims(poses) > 4 || size(poses, 1) ~= 3 || size(poses, 2) ~= numel(joint_names())
        stop('%s of %s is %s of size %s, expected numbers of size 3x17xFxK', name, file, class(poses), size_of(poses));
    end
    if size(poses, 4) ~= size(contents.(sequences{1}), 4)
        stop('%s of %s has %d diffusion steps, %s has %d', name, file, size(poses, 4), ...
            sequences{1}, size(contents.(sequences{1}), 4));
    end
    check_finite(poses, name, file);
    predicted{s} = double(poses);
end
end


function truth = read_annotations(place, sequences)
% Per sequence a struct: pose (3, 17, F) mm, valid (F, 1) logical, activity of the valid frames, 0 where not told.
official = isfolder(place);
if ~official
    contents = read_mat(place);
end
for s = numel(sequences):-1:1
    name = sequences{s};
    file = place;
    if official
        file = fullfile(place, name, 'annot_data.mat');
        labels = read_mat(file);
    elseif isfield(contents, name) && isstruct(contents.(name))
        labels = contents.(name);
    else
        stop('%s has no struct %s; expected the annotations of TS1 to TS6', file, name);
    end
    truth(s) = one_annotation(labels, name, file);
end
end


function truth = one_annotation(labels, name, file)
if ~isfield(labels, 'annot3') || ~isfield(labels, 'valid_frame')
    stop('%s: %s lacks annot3 or valid_frame', file, name);
end
pose = labels.annot3;
joints = numel(joint_names());
frames = max(size(pose, 3), size(pose, 4));
if ~isnumeric(pose) || ~isequal([size(pose, 1), size(pose, 2)], [3, joints]) || numel(pose) ~= 3 * joints * frames
    stop('%s: annot3 of %s is %s of size %s, expected numbers of size 3x17x1xF', file, name, class(pose), size_of(pose));
end
truth.pose = reshape(double(pose), 3, joints, frames);
if numel(labels.valid_frame) ~= frames
    stop('%s: valid_frame of %s has %d entries for %d frames', file, name, numel(labels.valid_frame), frames);
end
truth.valid = double(labels.valid_frame(:)) > 0;
if ~any(truth.valid)
    stop('%s: %s has no valid frame', file, name);
end
check_finite(truth.pose(:, :, truth.valid), ['annot3 of ', name], file);
activity = zeros(frames, 1);
if isfield(labels, 'activity_annotation')
    if numel(labels.activity_annotation) ~= frames
        stop('%s: activity_annotation of %s has %d entries for %d frames', file, name, ...
            numel(labels.activity_annotation), frames);
    end
    activity = double(labels.activity_annotation(:));
end
truth.activity = activity(truth.valid);
end


function contents = read_mat(file)
if ~exist(file, 'file')
    stop('%s: no such file', file);
end
try
    contents = load(file);
catch problem
    stop('%s cannot be read as a .mat file: %s', file, problem.message);
end
if ~isstruct(contents)
    stop('%s is not a .mat file', file);
end
end


function check_finite(poses, name, file)
frame = find(any(any(any(~isfinite(poses), 1), 2), 4), 1);
if ~isempty(frame)
    stop('%s of %s has NaN or Inf, first at frame %d (from 1)', name, file, frame);
end
end


function steps = chosen_steps(step, last)
if strcmp(step, 'last')
    steps = last;
elseif strcmp(step, 'all')
    steps = 1:last;
elseif isnumeric(step) && isscalar(step) && any(step == 1:last)
    steps = step;
else
    stop('the diffusion step must be ''last'', ''all'' or a number from 1 to %d', last);
end
end


function errors = joint_errors(predicted, truth)
% (3, 17, F) and (3, 17, F) mm -> (17, F) mm, each pose relative to its pelvis.
pelvis = joint_numbers({'pelvis'});
difference = bsxfun(@minus, predicted, predicted(:, pelvis, :)) - bsxfun(@minus, truth, truth(:, pelvis, :));
errors = reshape(sqrt(sum(difference .^ 2, 1)), size(truth, 2), []);
end


function [by_sequence, by_activity, unlabelled] = score(errors, activities, sequences)
% Rows of scores: the sequences and their mean; all frames and the activities.
for s = numel(sequences):-1:1
    by_sequence(s) = one_row(sequences{s}, errors{s});
end
mean_row = by_sequence(1);
mean_row.name = 'mean of the six sequences';
mean_row.frames = sum([by_sequence.frames]);
for table = {'joints', 'mpjpe', 'pck', 'auc'}
    mean_row.(table{1}) = mean(cat(1, by_sequence.(table{1})), 1);
end
by_sequence(end + 1) = mean_row;

errors = cat(2, errors{:});
activities = cat(1, activities{:});
by_activity = one_row('all frames', errors);
names = {'Standing/Walking', 'Exercising', 'Sitting', 'Reaching/Crouching', 'On The Floor', 'Sports', 'Miscellaneous'};
for a = 1:numel(names)
    by_activity(a + 1) = one_row(names{a}, errors(:, activities == a));
end
unlabelled = size(errors, 2) - sum([by_activity(2:end).frames]);
end


function row = one_row(name, errors)
% The scores of (17, F) errors; 0 / 0 makes them NaN where F is 0.
row.name = name;
row.frames = size(errors, 2);
row.joints = [sum(errors, 2)' / row.frames, sum(errors(:)) / numel(errors)];
groups = joint_groups();
for g = 1:size(groups, 1)
    members = errors(joint_numbers(groups{g, 2}), :);
    row.mpjpe(g) = sum(members(:)) / numel(members);
    row.pck(g) = percent_below(members, 150);
    row.auc(g) = percent_below(members, 0:5:150);
end
members = errors(joint_numbers([groups{:, 2}]), :);
row.mpjpe(g + 1) = row.joints(end);
row.pck(g + 1) = percent_below(members, 150);
row.auc(g + 1) = percent_below(members, 0:5:150);
end


function percent = percent_below(errors, thresholds)
% Strictly below; the mean over the thresholds.
below = 0;
for threshold = thresholds
    below = below + nnz(errors < threshold);
end
percent = 100 * below / (numel(errors) * numel(thresholds));
end


function print_tables(rows)
groups = joint_groups();
tables = {'mpjpe', 'MPJPE, mm', 'Average'; 'pck', 'PCK at 150 mm, %', 'Total'; 'auc', 'AUC of 0:5:150 mm, %', 'Total'};
for t = 1:size(tables, 1)
    fprintf('%-26s%8s', tables{t, 2}, 'frames');
    fprintf('%9s', groups{:, 1}, tables{t, 3});
    fprintf('\n');
    for row = rows
        fprintf('%-26s%8d', row.name, row.frames);
        for value = row.(tables{t, 1})
            if isnan(value)
                fprintf('%9s', '-');
            else
                fprintf('%9.2f', value);
            end
        end
        fprintf('\n');
    end
    fprintf('\n');
end
end


function write_csv(file, rows)
% Three blocks, each with a line of names: MPJPE by joint, PCK, AUC. All of the file or nothing.
[folder, name] = fileparts(file);
partial = fullfile(folder, ['.', name, '.partial']);
[id, reason] = fopen(partial, 'w');
if id < 0
    stop('%s cannot be written: %s', file, reason);
end
groups = joint_groups();
blocks = {'joints', 'MPJPE', [joint_names(), {'Average'}]; 'pck', 'PCK', [groups(:, 1)', {'Total'}]; ...
    'auc', 'AUC', [groups(:, 1)', {'Total'}]};
for b = 1:size(blocks, 1)
    fprintf(id, '%s', blocks{b, 2});
    fprintf(id, ',%s', blocks{b, 3}{:});
    fprintf(id, '\n');
    for row = rows
        fprintf(id, '%s', row.name);
        fprintf(id, ',%.15g', row.(blocks{b, 1}));
        fprintf(id, '\n');
    end
end
fclose(id);
[moved, reason] = movefile(partial, file, 'f');
if ~moved
    delete(partial);
    stop('%s cannot be written: %s', file, reason);
end
end


function text = size_of(value)
text = strjoin(arrayfun(@num2str, size(value), 'UniformOutput', false), 'x');
end


function stop(message, varargin)
% The line break keeps Octave from printing where the error was raised.
error('run_3dhp_eval:input', ['run_3dhp_eval: ', message, '\n'], varargin{:});
end
