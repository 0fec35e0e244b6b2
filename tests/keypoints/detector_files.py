"""Two made-up people, in the files of every detector."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from bodies import poses, trajectories

from common.datasets.npz import write_npz
from common.geometry.skeleton import H36M_17, JOINT_ORDERS

WIDTH, HEIGHT = SIZE = (1280, 720)

# What lies where in a person: a joint of Human3.6M-17 and how far from it, metres, camera axes.
_PLACES = {
    "nose": ("Neck/Nose", (0, 0, -0.1)), "hip": ("Hip", (0, 0, 0)), "mid_hip": ("Hip", (0, 0, 0)),
    "neck": ("Thorax", (0, 0, 0)), "upper_neck": ("Thorax", (0, -0.05, 0)), "head_top": ("Head", (0, -0.05, 0)),
}  # fmt: skip
_SIDED = {
    "Eye": ("Head", (0.03, 0.05, -0.1)), "EyeInner": ("Head", (0.02, 0.05, -0.1)), "Ear": ("Head", (0.08, 0.06, 0)),
    "EyeOuter": ("Head", (0.04, 0.05, -0.1)), "Mouth": ("Head", (0.02, 0.13, -0.1)), "Ankle": ("Foot", (0, 0, 0)),
    "BigToe": ("Foot", (0.02, 0.06, -0.15)), "SmallToe": ("Foot", (0.06, 0.06, -0.13)),
    "Heel": ("Foot", (0, 0.06, 0.05)), "FootIndex": ("Foot", (0.02, 0.06, -0.15)), "Pinky": ("Wrist", (0.03, 0.08, 0)),
    "Index": ("Wrist", (0, 0.1, 0)), "Thumb": ("Wrist", (-0.03, 0.06, 0)),
}  # fmt: skip


@dataclass
class Scene:
    """values: (F, P, K, 3) pixels and confidence. present: (F, P) bool. order: of the joints."""

    values: np.ndarray
    present: np.ndarray
    order: str

    @property
    def names(self) -> tuple[str, ...]:
        return JOINT_ORDERS[self.order].joints

    def people(self, frame: int) -> list[tuple[int, np.ndarray]]:
        """Number and (K, 3) of the people of a frame."""
        return [(p, self.values[frame, p]) for p in np.flatnonzero(self.present[frame])]

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Frame, track, pixels and confidence as `Detections` has them."""
        frame, track = np.nonzero(self.present)
        return frame, track, self.values[frame, track, :, :2], self.values[frame, track, :, 2]

    def alone(self) -> "Scene":
        """The first person alone."""
        return Scene(self.values[:, :1], self.present[:, :1], self.order)


def scene(order: str = "coco", frames: int = 12, everyone: bool = False) -> Scene:
    """Two people; the first is away in two frames, the second comes for the first half; a wrist is missed once."""
    skeleton = JOINT_ORDERS[order]
    points = (poses(2, frames, swing=0.2) + trajectories(2, frames)[:, :, None]).numpy()  # (P, F, 17, 3)
    points[1, ..., 0] += 1.2
    joints = []
    for name in skeleton.joints:
        side = {"L": 1, "R": -1}.get(name[0], 0) if name not in _PLACES else 0
        base, offset = _PLACES[name] if name in _PLACES else _SIDED.get(name[1:], (name[1:], (0, 0, 0)))
        base, offset = (f"{name[0]}{base}" if side and base != "Head" else base), np.array(offset, dtype=float)
        if side:
            offset[0] *= side
        joints.append(points[:, :, H36M_17.index(base)] + offset)
    made = np.stack(joints, 2).swapaxes(0, 1)  # (F, P, K, 3)
    pixels = np.array([WIDTH, HEIGHT]) / 2 + 600 * made[..., :2] / made[..., 2:]
    sure = np.random.default_rng(3).uniform(0.3, 1, (*pixels.shape[:3], 1)).round(3)
    values = np.concatenate([pixels.round(6), sure], -1)
    present = np.ones((frames, 2), dtype=bool)
    if not everyone:
        present[[frames // 3, frames // 2 + 1], 0] = present[frames // 2 :, 1] = False
    if "LWrist" in skeleton.joints:
        values[min(2, frames - 1), 0, skeleton.index("LWrist")] = 0
    return Scene(values, present, order)


# A writer takes a folder to write to and a scene, and returns what to give to `read_keypoints`.
Writer = Callable[[Path, Scene], Path]


def dump(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def flat_people(made: Scene, image: Callable[[int], object], **more: Callable[[int], object]) -> list[dict]:
    return [
        {"image_id": image(frame), "category_id": 1, "keypoints": values.ravel().tolist(), "score": 2.9}
        | {key: value(int(person)) for key, value in more.items()}
        for frame in range(len(made.values))
        for person, values in made.people(frame)
    ]


def alphapose(folder: Path, made: Scene) -> Path:
    box = {"box": lambda person: [1, 2, 3, 4], "idx": lambda person: [float(person)]}
    return dump(folder / "alphapose-results.json", flat_people(made, lambda frame: f"{frame}.jpg", **box))


def openpose(
    folder: Path, made: Scene, key: str = "pose_keypoints_2d", name: str = "cam01_{:012d}_keypoints.json"
) -> Path:
    for frame in range(len(made.values)):
        people = [{"person_id": [-1], key: values.ravel().tolist()} for _, values in made.people(frame)]
        dump(folder / "json" / name.format(frame), {"version": 1.3, "people": people})
    return folder / "json"


def instances(people: list[tuple[int, np.ndarray]]) -> list[dict]:
    return [
        {
            "keypoints": values[:, :2].tolist(), "keypoint_scores": values[:, 2].tolist(), "bbox": [[0, 1, 2, 3]],
            "bbox_score": 0.9,
        }
        for _, values in people
    ]  # fmt: skip


def mmpose(folder: Path, made: Scene, wrapped: bool = False) -> Path:
    frames = [{"frame_id": frame, "instances": instances(made.people(frame))} for frame in range(len(made.values))]
    return dump(folder / "results.json", {"meta_info": {}, "instance_info": frames} if wrapped else frames)


def mmpose_images(folder: Path, made: Scene) -> Path:
    for frame in range(len(made.values)):
        dump(folder / "predictions" / f"{frame:06d}.json", instances(made.people(frame)))
    return folder / "predictions"


def coco(folder: Path, made: Scene) -> Path:
    return dump(folder / "results.json", flat_people(made, lambda frame: frame))


def coco_labels(folder: Path, made: Scene) -> Path:
    """Labels, of joints all of which are visible or not labelled."""
    images = [
        {"id": 900 - frame, "file_name": f"v/{frame:06d}.jpg", "width": WIDTH, "height": HEIGHT}
        for frame in range(len(made.values))
    ]
    labelled = made.values * [1, 1, 0] + [0, 0, 2] * (made.values[..., 2:] > 0)
    people = flat_people(Scene(labelled, made.present, made.order), lambda frame: 900 - frame)
    for number, person in enumerate(people):
        person |= {"id": number, "num_keypoints": 17}
    names = "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    names += "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
    categories = [{"id": 1, "name": "person", "keypoints": names.split()}]
    return dump(folder / "labels.json", {"images": images, "annotations": people, "categories": categories})


def yolo(folder: Path, made: Scene, tracks: bool = False, sure: bool = True) -> Path:
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for frame in range(len(made.values)):
        lines = []
        for person, values in made.people(frame):
            scaled = (values / [WIDTH, HEIGHT, 1])[:, : 3 if sure else 2]
            words = ["0", "0.5", "0.5", "0.2", "0.8", *(f"{value:.12g}" for value in scaled.ravel())]
            lines.append(" ".join(words + ([str(person + 1)] if tracks else [])))
        (folder / "labels" / f"clip_{frame + 1}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder / "labels"


def cells(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.12g}" for value in np.ravel(values)]


def csv_file(path: Path, rows: list[list[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    return path


def mediapipe_wide(folder: Path, made: Scene, header: str = "L{}_{}") -> Path:
    """Of the first person; rows of empty cells where it is not there."""
    names = [header.format(joint, axis) for joint in range(33) for axis in ("x", "y", "visibility")]
    rows = [["frame", *names]]
    for frame in range(len(made.values)):
        values = made.values[frame, 0] / [WIDTH, HEIGHT, 1] if made.present[frame, 0] else np.full((33, 3), np.nan)
        rows.append([str(frame), *cells(values)])
    return csv_file(folder / "pose.csv", rows)


def mediapipe_long(folder: Path, made: Scene) -> Path:
    rows = [["Frame", "LandmarkID", "X", "Y", "Visibility"]]
    for frame in np.flatnonzero(made.present[:, 0]):
        for joint, values in enumerate(made.values[frame, 0] / [WIDTH, HEIGHT, 1]):
            rows.append([str(frame), str(joint), *cells(values)])
    return csv_file(folder / "pose.csv", rows)


def mediapipe_json(folder: Path, made: Scene) -> Path:
    frames = [
        {
            "frame": frame,
            "landmarks": [
                [dict(zip("xyz", (*point[:2], 0.1))) | {"visibility": point[2]} for point in (v / [*SIZE, 1]).tolist()]
                for _, v in made.people(frame)
            ],
        }
        for frame in range(len(made.values))
    ]
    return dump(folder / "pose.json", {"width": WIDTH, "height": HEIGHT, "fps": 25, "frames": frames})


def deeplabcut(folder: Path, made: Scene, several: bool = True, names: tuple[str, ...] | None = None) -> Path:
    people = made.values.shape[1] if several else 1
    parts = names or made.names
    columns = [(f"mouse{p}", part, axis) for p in range(people) for part in parts for axis in ("x", "y", "likelihood")]
    individuals, bodyparts, coords = (list(column) for column in zip(*columns))
    rows = [["scorer", *["DLC_net"] * len(columns)], ["bodyparts", *bodyparts], ["coords", *coords]]
    if several:
        rows.insert(1, ["individuals", *individuals])
    gone = np.where(made.present[..., None, None], made.values, np.nan)[:, :people]
    return csv_file(folder / "dlc.csv", rows + [[str(frame), *cells(gone[frame])] for frame in range(len(gone))])


def videopose3d(
    folder: Path, made: Scene, scale: tuple[float, float] = (1, 1), videos: int = 1, **meta: object
) -> Path:
    gone = np.where(made.present[:, 0, None, None], made.values[:, 0, :, :2], np.nan) / scale
    names = [f"clip{number}.mp4" for number in range(videos)]
    about = {name: {"w": WIDTH, "h": HEIGHT} for name in names}
    metadata = {"layout_name": "coco", "num_joints": 17, "video_metadata": about} | meta
    tree = {name: {"custom": [gone + number]} for number, name in enumerate(names)}
    write_npz(folder / "data_2d_custom.npz", positions_2d=tree, metadata=metadata)
    return folder / "data_2d_custom.npz"


def npy(folder: Path, made: Scene) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "keypoints.npy", np.where(made.present[..., None, None], made.values, np.nan))
    return folder / "keypoints.npy"


def npz(folder: Path, made: Scene) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    gone = np.where(made.present[..., None, None], made.values, 0)
    np.savez(folder / "keypoints.npz", keypoints=gone[..., :2], scores=gone[..., 2], fps=np.array(25.0))
    return folder / "keypoints.npz"


@dataclass(frozen=True)
class Kind:
    """One way to write a file, the format it is read by, the order of its joints, and what it does not tell."""

    write: Writer
    format: str
    order: str
    sure: bool = True  # says confidences
    tracks: bool = False
    alone: bool = False  # holds one person
    size: bool = False  # needs the image's size


KINDS = {
    "alphapose coco": Kind(alphapose, "alphapose", "coco", tracks=True),
    "alphapose halpe": Kind(alphapose, "alphapose", "halpe26", tracks=True),
    **{
        f"openpose {order}": Kind(openpose, "openpose", order)
        for order in ("body25", "body25b", "openpose18", "halpe26")
    },
    "openpose old": Kind(partial(openpose, key="pose_keypoints", name="cam01.{:04d}.json"), "openpose", "openpose18"),
    "mmpose": Kind(mmpose, "mmpose", "coco"),
    "mmpose wrapped": Kind(partial(mmpose, wrapped=True), "mmpose", "halpe26"),
    "mmpose images": Kind(mmpose_images, "mmpose", "coco"),
    "coco results": Kind(coco, "coco", "coco"),
    "coco labels": Kind(coco_labels, "coco", "coco", sure=False),
    "yolo": Kind(yolo, "yolo", "coco", size=True),
    "yolo tracks": Kind(partial(yolo, tracks=True), "yolo", "coco", tracks=True, size=True),
    "yolo bare": Kind(partial(yolo, sure=False), "yolo", "coco", sure=False, size=True),
    "mediapipe wide": Kind(mediapipe_wide, "mediapipe-csv", "blazepose", alone=True, size=True),
    "mediapipe long": Kind(mediapipe_long, "mediapipe-csv", "blazepose", alone=True, size=True),
    "mediapipe json": Kind(mediapipe_json, "mediapipe-json", "blazepose"),
    "deeplabcut": Kind(partial(deeplabcut, several=False), "deeplabcut", "coco", alone=True),
    "deeplabcut several": Kind(deeplabcut, "deeplabcut", "halpe26", tracks=True),
    "videopose3d": Kind(videopose3d, "videopose3d", "coco", tracks=True, sure=False, alone=True),
    "videopose3d 0 to 1": Kind(
        partial(videopose3d, scale=SIZE), "videopose3d", "coco", tracks=True, sure=False, alone=True
    ),
    "npy": Kind(npy, "array", "body25b"),
    "npz": Kind(npz, "array", "coco"),
}
