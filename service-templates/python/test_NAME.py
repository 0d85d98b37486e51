"""The unit test of @NAME@. It needs no running SkyNET: python3 test_@NAME@.py

The package SkyNET is taken from PYTHONPATH, or from beside the program `exo`: on PATH, or where it is installed.
"""

import importlib.util
import logging
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
EXO = shutil.which("exo") or "/usr/lib/skynet/bin/exo"
sys.path.append(os.path.join(os.path.dirname(os.path.realpath(EXO)), "..", "python"))

from SkyNET import Workitem  # noqa: E402


def load():
    """The handler's module; by its path, as a participant's name may hold a dash."""
    spec = importlib.util.spec_from_file_location("handler", os.path.join(HERE, "@NAME@.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestParticipant(unittest.TestCase):
    def test_a_workitem_is_handled(self):
        handler = load().ParticipantHandler()
        handler.log = logging.getLogger("@NAME@")
        wid = Workitem({"fields": {"text": "hello"}})
        handler.handle_wi(wid)
        self.assertTrue(wid.result)


if __name__ == "__main__":
    unittest.main()
