"""The cameras of MPI-INF-3DHP's test sequences (Mehta et al., 3DV 2017; values of its camera description)."""

from common.camera import Camera

_SENSOR = 10.0  # mm, the sensor width that the focal lengths and centre shifts below refer to
_STUDIO = ("TS1", "TS2", "TS3", "TS4")
_OUTDOOR = ("TS5", "TS6")
_NO_DISTORTION = (0.0,) * 5
TEST_SEQUENCES = _STUDIO + _OUTDOOR


def test_cameras() -> dict[str, Camera]:
    """Per test sequence the camera that took it, without its place in the room, which 2D to 3D work does not need.

    The outdoor camera's pixels are not square: fy is 0.7 % smaller than fx. The keypoints in the files are made
    without lens distortion.
    """
    return {name: _studio(name) for name in _STUDIO} | {name: _outdoor(name) for name in _OUTDOOR}


test_cameras.__test__ = False  # pytest would take it for a test by its name


def _studio(name: str) -> Camera:
    width = height = 2048
    pixels = width / _SENSOR
    focal = 7.32506 * pixels
    centre = (width / 2 - 0.0322884 * pixels, height / 2 + 0.0929296 * pixels)
    return Camera(name, width, height, (focal, focal, *centre, *_NO_DISTORTION))


def _outdoor(name: str) -> Camera:
    width, height, aspect = 1920, 1080, 0.993236423
    pixels = width / _SENSOR
    focal = 8.770747185 * pixels
    centre = (width / 2 - 0.104908645 * pixels, height / 2 + 0.104899704 * pixels)
    return Camera(name, width, height, (focal, focal * aspect, *centre, *_NO_DISTORTION))
