#!/usr/bin/env python3
"""Completion: what the generated bash script offers, and whether zsh, fish and man take theirs (where they are installed)."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A `hostler` that answers `complete` with its own words, and bash's completion without a terminal.
DRIVER = """
hostler() { local IFS=_; echo "asked:$*"; }
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_hostler
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([sys.executable, ROOT / "tools/declare.py", "--completion", cls.folder.name], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_offers(self, line, *expected):
        script = pathlib.Path(self.folder.name, "hostler").read_text() + DRIVER
        done = subprocess.run(["bash", "-c", script, "bash", *line.split(" ")], capture_output=True, text=True)
        self.assertEqual(done.stderr, "")
        self.assertEqual(sorted(done.stdout.split()), sorted(expected), line)

    def test_words(self):
        self.assert_offers("hostler sta", "start")
        self.assert_offers("hostler sx")
        self.assert_offers("hostler vm sta", "start")
        self.assert_offers("hostler disk ", "add", "ls", "move", "rm")
        self.assert_offers("hostler wait web1 ", "running", "agent", "ip", "off")

    def test_names(self):
        self.assert_offers("hostler start ", "asked:complete_vm")
        self.assert_offers("hostler start web1 ", "asked:complete_vm_web1")
        self.assert_offers("hostler power-off ", "asked:complete_vm")
        self.assert_offers("hostler disk rm web1 ", "asked:complete_disk_web1")
        self.assert_offers("hostler disk rm web1 disk1 ")
        self.assert_offers("hostler set web1 ", "asked:complete_property_web1")
        self.assert_offers("hostler set web1 cpu.count=2 ", "asked:complete_property_web1_cpu.count=2")
        self.assert_offers("hostler job ls ")
        self.assert_offers("hostler switch rm ", "asked:complete_switch")
        self.assert_offers("hostler portgroup rm lan ", "asked:complete_portgroup_lan")
        self.assert_offers("hostler device add web1 ", "asked:complete_kind_web1")
        self.assert_offers("hostler device add web1 sound ", "asked:complete_setting_web1_sound")
        self.assert_offers("hostler device add web1 sound --model ", "asked:complete_model_web1_sound")
        self.assert_offers("hostler device rm web1 ", "asked:complete_device_web1")
        self.assert_offers("hostler device read web1 ", "asked:complete_device_web1")
        self.assert_offers("hostler device set web1 nic0 link=off ", "asked:complete_setting_web1_nic0_link=off")

    def test_flags(self):
        self.assert_offers("hostler start --dr", "--dry-run")
        self.assert_offers("hostler create x --ima", "--image")
        self.assert_offers("hostler create x --image ", "asked:complete_image_x")
        self.assert_offers("hostler ls -o ", "table", "json", "yaml", "name")
        self.assert_offers("hostler job ls --state ", "queued", "running", "done", "failed", "cancelled")
        self.assert_offers("hostler stop --timeout 3s ", "asked:complete_vm")
        self.assert_offers("hostler start --wait ip ", "asked:complete_vm")
        self.assert_offers("hostler start --wait web1 ", "asked:complete_vm_web1")

    def assert_takes(self, program, *argv):
        if not shutil.which(program):
            self.skipTest(f"{program} is not installed")
        done = subprocess.run([program, *argv], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_bash(self):
        self.assert_takes("bash", "-n", f"{self.folder.name}/hostler")

    def test_zsh(self):
        self.assert_takes("zsh", "-n", f"{self.folder.name}/_hostler")

    def test_fish(self):
        self.assert_takes("fish", "--no-execute", f"{self.folder.name}/hostler.fish")

    def test_manual(self):
        self.assert_takes("mandoc", "-Tlint", "-Wwarning", str(ROOT / "man/hostler.1"))


if __name__ == "__main__":
    unittest.main()
