"""What files of a motion call its joints, axes and units."""

from ..geometry.skeleton import H36M_17

UNITS = "metres"
AXES = "right-handed: x right, y up, z towards the camera, as the camera sees it"

# Names that OpenSim's and Pose2Sim's marker sets use, where they have the joint; Spine is in none of them.
_MARKERS = {"RFoot": "RAnkle", "LFoot": "LAnkle", "Thorax": "Neck", "Neck/Nose": "Nose"}
MARKERS = [_MARKERS.get(joint, joint) for joint in H36M_17.joints]
