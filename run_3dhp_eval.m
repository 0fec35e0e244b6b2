function run_3dhp_eval(inference, annotations, step)
%RUN_3DHP_EVAL  The official MPI-INF-3DHP scores of predicted poses.
%
%   run_3dhp_eval()
%   run_3dhp_eval(INFERENCE)
%   run_3dhp_eval(INFERENCE, ANNOTATIONS)
%   run_3dhp_eval(INFERENCE, ANNOTATIONS, STEP)
%
%   INFERENCE    a .mat file with some of TS1 to TS6, each (3, 17, frames, diffusion steps) mm, in the joint order of
%                MPI-INF-3DHP; or (3, 17, 1, frames), as P-STMO writes them. All frames, or the valid ones.
%                'inference_data.mat' in the current folder when left out.
%   ANNOTATIONS  test_annotations.mat, which h36m_3dhp_transfer.py writes next to the predictions and which is looked
%                for there when left out; or the official test set's folder, with TS1/annot_data.mat to
%                TS6/annot_data.mat. What is in both is scored.
%   STEP         the diffusion step to score, from 1; 'last' (when left out) or 'all'.
%
%   Prints MPJPE, PCK at 150 mm and AUC by joint group, per sequence, per activity and overall, valid frames only, and
%   writes them, MPJPE by joint, next to INFERENCE:
%       mpii_3dhp_evaluation_sequencewise.csv, mpii_3dhp_evaluation_activitywise.csv
%   What follows 'inference_data' in the name of INFERENCE follows 'evaluation' in theirs; with 'all', so does the step.
%
%   From a shell:  octave --no-gui --eval "run_3dhp_eval('inference_data.mat')"
%   For MATLAB R2018b and GNU Octave 6 or newer, without toolboxes. python -m common.evaluation.scores_3dhp computes and
%   prints the same.

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

every = {'TS1', 'TS2', 'TS3', 'TS4', 'TS5', 'TS6'};
contents = read_mat(inference, every);
[truth, annotated] = read_annotations(char(annotations), every);
[predicted, sequences] = find_predictions(contents, inference, every, truth, annotated);
truth = truth(ismember(annotated, sequences));
check_unit_and_order(predicted, truth, inference);

last = size(predicted{1}, 4);
steps = chosen_steps(step, last);
for k = steps
    errors = cell(1, numel(sequences));
    for s = 1:numel(sequences)
        errors{s} = joint_errors(predicted{s}(:, :, :, k), truth(s).pose);
    end
    [by_sequence, by_activity, unlabelled] = score(errors, {truth.activity}, sequences);

    absent = strjoin(every(~ismember(every, sequences)), ', ');
    if ~isempty(absent)
        absent = [', without ', absent];
    end
    fprintf('%s, diffusion step %d of %d%s\n\n', inference, k, last, absent);
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


function names = h36m_joint_names()
% The joints in Human3.6M-17 order, by their names here.
names = {'pelvis', 'RHip', 'RKnee', 'RAnkle', 'LHip', 'LKnee', 'LAnkle', 'spine', 'neck', 'head', 'head_top', ...
    'LShoulder', 'LElbow', 'LWrist', 'RShoulder', 'RElbow', 'RWrist'};
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


function [predicted, sequences] = find_predictions(contents, file, every, truth, annotated)
% Per sequence that is in both (3, 17, valid frames, K) mm, and their names.
found = every(isfield(contents, every));
if isempty(found)
    stop('%s has none of TS1 to TS6, expected predictions of some of them', file);
end
sequences = found(ismember(found, annotated));
if isempty(sequences)
    stop('%s has %s, the annotations have %s: none in both', file, strjoin(found, ', '), strjoin(annotated, ', '));
end
predicted = cell(1, numel(sequences));
for s = 1:numel(sequences)
    name = sequences{s};
    predicted{s} = arranged(contents.(name), truth(strcmp(annotated, name)).counts, name, file);
    if size(predicted{s}, 4) ~= size(predicted{1}, 4)
        stop('%s of %s has %d diffusion steps, %s has %d', name, file, size(predicted{s}, 4), ...
            sequences{1}, size(predicted{1}, 4));
    end
end
end


function poses = arranged(poses, counts, name, file)
% COUNTS (F, 1) logical, the frames that count. Of them (3, 17, valid frames, K), whatever the layout of POSES.
if ~isnumeric(poses) || ndims(poses) > 4 || size(poses, 1) ~= 3 || size(poses, 2) ~= numel(joint_names())
    stop('%s of %s is %s of size %s, expected numbers of size 3x17xFxK', name, file, class(poses), size_of(poses));
end
frames = [numel(counts), nnz(counts)];
if size(poses, 3) == 1 && ~any(frames == 1) && any(frames == size(poses, 4))
    poses = permute(poses, [1, 2, 4, 3]);
end
if ~any(frames == size(poses, 3))
    stop(['%s of %s has %d frames, its annotation has %d, of which %d are valid; expected all of these or ' ...
        'the valid ones'], name, file, size(poses, 3), frames);
end
check_finite(poses, name, file);
poses = double(poses);
if size(poses, 3) == frames(1)
    poses = poses(:, :, counts, :);
end
end


function check_unit_and_order(predicted, truth, file)
% Metres and Human3.6M's joint order would score, and terribly; they are told by the size and by trying.
across = [];
errors = zeros(2, 2);  % as they stand and in the other order; as they stand and times 1000
[~, other] = ismember(joint_names(), h36m_joint_names());
orders = {1:numel(other), other};
times = [1, 1000];
for s = 1:numel(predicted)
    poses = predicted{s}(:, :, :, end);
    extent = max(poses, [], 2) - min(poses, [], 2);
    across = [across; reshape(sqrt(sum(extent .^ 2, 1)), [], 1)]; %#ok<AGROW>
    for o = 1:2
        for t = 1:2
            errors(o, t) = errors(o, t) + sum(sum(joint_errors(times(t) * poses(:, orders{o}, :), truth(s).pose)));
        end
    end
end
errors = errors / (numel(across) * numel(other));
if median(across) < 10 && min(errors(:, 2)) < errors(1, 1)
    stop('%s: its people are %.3g across, expected millimetres; these look like metres, multiply by 1000', ...
        file, median(across));
end
if 3 * errors(2, 1) < errors(1, 1)
    stop(['%s: its joints look like Human3.6M-17 order (error %.0f mm, as they stand %.0f); expected ' ...
        'MPI-INF-3DHP-17 order, head_top first; reorder them'], file, errors(2, 1), errors(1, 1));
end
end


function [truth, sequences] = read_annotations(place, every)
% The names of the sequences that are there, and per sequence a struct: counts (F, 1) logical, the valid frames; pose
% (3, 17, valid frames) mm and activity of these, 0 where not told.
official = isfolder(place);
fields = {'annot3', 'valid_frame', 'activity_annotation'};
if official
    files = fullfile(place, every, 'annot_data.mat');
    sequences = every(cellfun(@(file) exist(file, 'file') == 2, files));
    if isempty(sequences)
        stop('%s: no TS1/annot_data.mat to TS6/annot_data.mat in it; give the folder that holds TS1', place);
    end
else
    contents = read_mat(place, every);
    sequences = every(isfield(contents, every));
    if isempty(sequences) || ~all(cellfun(@(name) isstruct(contents.(name)), sequences))
        stop('%s: expected structs TS1 to TS6, or some of them, found none', place);
    end
end
for s = numel(sequences):-1:1
    name = sequences{s};
    file = place;
    if official
        file = fullfile(place, name, 'annot_data.mat');
        labels = read_mat(file, fields);
    else
        labels = contents.(name);
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
if numel(labels.valid_frame) ~= frames
    stop('%s: valid_frame of %s has %d entries for %d frames', file, name, numel(labels.valid_frame), frames);
end
truth.counts = double(labels.valid_frame(:)) > 0;
if ~any(truth.counts)
    stop('%s: %s has no valid frame', file, name);
end
pose = reshape(double(pose), 3, joints, frames);
truth.pose = pose(:, :, truth.counts);
check_finite(truth.pose, ['annot3 of ', name], file);
activity = zeros(frames, 1);
if isfield(labels, 'activity_annotation')
    if numel(labels.activity_annotation) ~= frames
        stop('%s: activity_annotation of %s has %d entries for %d frames', file, name, ...
            numel(labels.activity_annotation), frames);
    end
    activity = double(labels.activity_annotation(:));
end
truth.activity = activity(truth.counts);
end


function contents = read_mat(file, names)
% Of all variables those named. Octave cannot read some others of the official HDF5 files and warns of them, without an
% identifier; MATLAB warns of variables that are not there.
if ~exist(file, 'file')
    stop('%s: no such file', file);
end
before = warning('off', 'all');
try
    try
        contents = load(file, names{:});
    catch
        contents = load(file);  % Octave stops when none of the names is there
    end
    warning(before);
catch problem
    warning(before);
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
if numel(sequences) < 6
    mean_row.name = sprintf('mean of %d of the six sequences', numel(sequences));
end
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
width = max(26, 1 + max(cellfun(@numel, {rows.name})));
tables = {'mpjpe', 'MPJPE, mm', 'Average'; 'pck', 'PCK at 150 mm, %', 'Total'; 'auc', 'AUC of 0:5:150 mm, %', 'Total'};
for t = 1:size(tables, 1)
    fprintf('%-*s%8s', width, tables{t, 2}, 'frames');
    fprintf('%9s', groups{:, 1}, tables{t, 3});
    fprintf('\n');
    for row = rows
        fprintf('%-*s%8d', width, row.name, row.frames);
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
