#!/usr/bin/env python3
"""The generator's refusals: what is wrong with a declaration is said with its file and key, and nothing is written."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOUN = '[noun.vm]\nplural = "vms"\ndoc = "A machine."\nsilent = true\n'
VERB = '[verb.vm.start]\nkind = "job"\nrole = "operator"\nrecover = "undo"\nsummary = "Start"\ndoc = "Starts."\n'
TARGET = 'args.vm = { type = "string", required = true, in_path = true, doc = "Which." }\n'
RECORD = '[record.vm]\ndoc = "A machine."\n'


def device(fields):
    return f'[device.disk]\ndoc = "A disk."\n{fields}\n'


class Declare(unittest.TestCase):
    def run_on(self, text, *more):
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for index, content in enumerate((text, *more)):
                files.append(pathlib.Path(folder, f"f{index}.toml"))
                files[-1].write_text(content)
            out = pathlib.Path(folder, "out")
            done = subprocess.run([sys.executable, ROOT / "tools/declare.py", "--c", out, *files], capture_output=True, text=True)
            return done, sorted(path.name for path in out.glob("*")), folder

    def assert_refused(self, expected, text, *more):
        done, written, folder = self.run_on(text, *more)
        faults = done.stderr.replace(folder + "/", "").splitlines()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(expected, faults)
        self.assertEqual(written, [])

    def test_good(self):
        done, written, _ = self.run_on(NOUN + RECORD + 'fields.size = { type = "size", default = "4G", doc = "Size." }\n' + VERB + TARGET)
        self.assertEqual(done.stderr, "")
        self.assertIn("hostler-types.h", written)

    def test_no_toml(self):
        self.assert_refused("f0.toml: toml: Expected '=' after a key in a key/value pair (at line 1, column 6)", "what is this")

    def test_sections_and_attributes(self):
        self.assert_refused("f0.toml: verbs: no such section; there are error, enum, record, noun, device, event, verb, command, flag",
                            "[verbs.vm]\n")
        self.assert_refused("f0.toml: noun.vm.plurals: no such attribute; there are doc, parent, plural, silent",
                            NOUN + 'plurals = "vms"\n')
        self.assert_refused("f0.toml: verb.vm.start.many: must be a bool", NOUN + VERB + 'many = "yes"\n' + TARGET)

    def test_missing_text(self):
        self.assert_refused("f0.toml: noun.vm: `doc` is missing", '[noun.vm]\nplural = "vms"\n')
        self.assert_refused("f0.toml: verb.vm.start: `summary` is missing", NOUN + VERB.replace('summary = "Start"\n', "") + TARGET)
        self.assert_refused("f0.toml: record.vm.fields.id: `doc` is missing", RECORD + 'fields.id = { type = "string" }\n')
        self.assert_refused("f0.toml: enum.power.values.off: a text is missing", '[enum.power]\ndoc = "x"\nvalues.off = ""\n')

    def test_duplicates(self):
        self.assert_refused("f1.toml: noun.vm: declared already in f0.toml", NOUN, NOUN)
        stop = VERB.replace("vm.start", "vm.stop")
        self.assert_refused("f0.toml: verb.vm.stop: the word `start` is taken by vm.start",
                            NOUN + VERB + TARGET + stop + "aliases.start = {}\n" + TARGET)
        self.assert_refused("f0.toml: verb.vm.stop: has the route of vm.start: POST /v1/vms/{vm}/start",
                            NOUN + VERB + TARGET + stop + 'path = "/v1/vms/{vm}/start"\n' + TARGET)
        self.assert_refused("disk_props: two declarations would have the C name HostlerDiskProps",
                            device('fields.a = { type = "int", live = "now", doc = "x" }')
                            + '[record.disk_props]\ndoc = "x"\nfields.a = { type = "int", doc = "x" }\n')

    def test_types(self):
        self.assert_refused("f0.toml: record.vm.fields.id: no such type: strnig",
                            RECORD + 'fields.id = { type = "strnig", doc = "x" }\n')
        self.assert_refused("f0.toml: record.vm.fields.id: no such enum: pwoer",
                            RECORD + 'fields.id = { type = "enum:pwoer", doc = "x" }\n')
        self.assert_refused("f0.toml: record.vm.fields.id: no such record: nic", RECORD + 'fields.id = { type = "list:nic", doc = "x" }\n')
        self.assert_refused("f0.toml: verb.vm.start: no such record as result: vmm", NOUN + VERB + 'result = "vmm"\n' + TARGET)

    def test_values(self):
        def field(attributes):
            return RECORD + f"fields.x = {{ doc = \"x\", {attributes} }}\n"

        where = "f0.toml: record.vm.fields.x: "
        self.assert_refused(where + "the default is out of range: '1k'", field('type = "size", min = 4096, default = "1k"'))
        self.assert_refused(where + "the default is not a duration: 'soon'", field('type = "duration", default = "soon"'))
        self.assert_refused(where + "the default is not a int: True", field('type = "int", default = true'))
        self.assert_refused(where + "a string has no default", field('type = "string", default = "x"'))
        self.assert_refused(where + "min is over max", field('type = "int", min = 2, max = 1'))
        self.assert_refused(where + "a bool has no min or max", field('type = "bool", min = 2'))
        self.assert_refused(where + "the pattern is not a regular expression: unterminated character set at position 0",
                            field('type = "string", pattern = "[a"'))
        self.assert_refused(where + "a required value has no default", field('type = "int", required = true, default = 1'))
        self.assert_refused("f0.toml: device.disk.fields.a: `live` must be now, restart or never",
                            device('fields.a = { type = "int", doc = "x" }'))

    def test_verbs(self):
        self.assert_refused("f0.toml: verb.vm.start: no such noun: vm", VERB + TARGET)
        self.assert_refused("f0.toml: verb.vm.start: the arguments with in_path are [], but the path is /v1/vms/{vm}/start", NOUN + VERB)
        self.assert_refused("f0.toml: verb.vm.start: `urgent_if` is not a bool argument: hard",
                            NOUN + VERB + 'urgent_if = "hard"\n' + TARGET)
        self.assert_refused("f0.toml: verb.vm.start.args.hard: a switch that is on cannot be turned off: name it the other way",
                            NOUN + VERB + TARGET + 'args.hard = { type = "bool", default = true, doc = "x" }\n')
        self.assert_refused("f0.toml: verb.vm.start.columns: record vm has no status.power",
                            NOUN + RECORD + 'fields.id = { type = "string", doc = "x" }\n'
                            + VERB + 'result = "vm"\ncolumns = ["status.power"]\n' + TARGET)

    def test_openapi_references(self):
        """Every reference in the OpenAPI document leads somewhere, and every verb has its operation."""
        document = json.loads((ROOT / "docs/openapi.json").read_text())
        text = json.dumps(document)
        for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
            self.assertIn(name, document["components"]["schemas"])
        operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()
                      if "operationId" in operation]
        self.assertEqual(len(operations), len(set(operations)))
        self.assertIn("vm.start", operations)

    def test_all_faults_at_once(self):
        done, _, _ = self.run_on(RECORD + 'fields.a = { type = "strnig", doc = "x" }\nfields.b = { type = "int" }\n', '[noun.x]\n')
        self.assertEqual(len(done.stderr.splitlines()), 4)


if __name__ == "__main__":
    unittest.main()
