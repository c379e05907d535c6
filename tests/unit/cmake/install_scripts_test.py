#!/usr/bin/env python3
"""The scripts that fetch from npm say why they failed and what to do, and need no HOME."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "cmake"
# An npm that fails as the real one does where there is no network: silent where it is told to be.
BROKEN_NPM = """#!/bin/sh
[ "$1" != config ] || { echo https://registry.example/; exit 0; }
case "$*" in *--silent*) ;; *) echo "npm ERR! code ENOTFOUND" >&2 ;; esac
exit 1
"""


class InstallScripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        npm = self.path / "npm"
        npm.write_text(BROKEN_NPM, encoding="utf-8")
        npm.chmod(0o755)

    def tearDown(self):
        self.folder.cleanup()

    def run_script(self, name, **variables):
        environment = {"PATH": f"{self.path}:{os.environ['PATH']}", **variables}
        return subprocess.run(["sh", str(SCRIPTS / name)], env=environment, capture_output=True,
                              text=True, timeout=60, check=False)

    def test_a_failed_fetch_names_its_reason_and_a_way_out(self):
        for name, file in (("install-libchdb.sh", "libchdb.so"), ("install-buf.sh", "buf")):
            with self.subTest(name):
                done = self.run_script(name, HOME=str(self.path / "home"))
                self.assertEqual(done.returncode, 1)
                self.assertIn("ENOTFOUND", done.stderr)
                self.assertIn("https://registry.example/", done.stderr)
                self.assertIn(str(self.path / "home/.cache/yagura"), done.stderr)
                self.assertIn(file, done.stderr)

    def test_what_is_there_is_found_without_a_home(self):
        for name in ("install-libchdb.sh", "install-buf.sh"):
            with self.subTest(name):
                done = self.run_script(name, XDG_CACHE_HOME=str(self.path / "cache"))
                self.assertIn(str(self.path / "cache/yagura"), done.stderr)  # got as far as npm


if __name__ == "__main__":
    sys.exit(unittest.main())
