"""The training loops stand in both scripts, so that each reads by itself: they are one text, kept the same here."""

import inspect

import pytest

import h36m_3dhp_transfer
import h36m_transfer


@pytest.mark.parametrize("loop", ["train_supervised", "adapt"])
def test_both_scripts_train_alike(loop):
    one, other = (inspect.getsource(getattr(script, loop)) for script in (h36m_transfer, h36m_3dhp_transfer))
    assert one == other and one.count("\n") > 40


@pytest.mark.parametrize("name", ["BETAS", "WEIGHT_DECAY", "REPROJECTION_WEIGHT"])
def test_with_the_same_constants(name):
    assert getattr(h36m_transfer, name) == getattr(h36m_3dhp_transfer, name)


@pytest.mark.parametrize("script", [h36m_transfer, h36m_3dhp_transfer], ids=lambda script: script.__name__)
def test_a_script_is_read_in_a_sitting(script):
    assert inspect.getsource(script).count("\n") < 330
