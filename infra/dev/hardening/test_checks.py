"""The checks of this folder find what they are for: `python -m unittest`, in this folder."""

import contextlib
import io
import tempfile
import unittest

import bills
import exceptions
import templates

FOUND = exceptions.Finding("template.yaml", "ApiLogs", "CKV_1", "logs are not encrypted")
ENTRY = "- { check: CKV_1, file: template.yaml, parts: ['*Logs'], reason: why }"


def judge(text, findings):
    """Returns the error of a judgement, None if there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file, contextlib.redirect_stdout(io.StringIO()):
        file.write(text)
        file.flush()
        try:
            exceptions.judge(file.name, findings)
        except SystemExit as end:
            return str(end)
    return None


class Exceptions(unittest.TestCase):
    def test_what_is_excepted_with_a_reason_passes(self):
        self.assertIsNone(judge(ENTRY, {FOUND}))
        self.assertIsNone(judge("[]", set()))

    def test_another_check_part_or_file_is_not_excepted(self):
        for changed in ("CKV_2", "*Table", "other.yaml"):
            old = {"CKV_2": "CKV_1", "*Table": "*Logs", "other.yaml": "template.yaml"}[changed]
            self.assertIn("logs are not encrypted", judge(ENTRY.replace(old, changed), {FOUND}))

    def test_an_exception_without_reason_fails(self):
        for reason in ("' '", "", "null"):
            self.assertIn("has no reason", judge(ENTRY.replace("why", reason), {FOUND}))
        self.assertIn("check, file, parts and reason", judge(ENTRY.replace(", reason: why", ""), {FOUND}))

    def test_an_exception_that_matches_nothing_fails(self):
        self.assertIn("is not found", judge(ENTRY, set()))
        self.assertIn("names no part", judge(ENTRY.replace("'*Logs'", ""), set()))


class Templates(unittest.TestCase):
    def test_a_template_that_hides_from_the_checks_fails(self):
        hidden = {
            "cfn-lint: { config: { ignore_checks: [E3002] } }": lambda path: list(templates.cfn_lint("cfn-lint", path)),
            "checkov: { skip: [{ id: CKV_AWS_18, comment: no }] }": lambda path: list(templates.checkov(path)),
        }
        for metadata, check in hidden.items():
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(
                    "AWSTemplateFormatVersion: '2010-09-09'\n"
                    "Resources:\n  Bucket:\n    Type: AWS::S3::Bucket\n"
                    f"    Metadata:\n      {metadata}\n"
                )
                file.flush()
                with self.assertRaises(SystemExit) as end:
                    check(file.name)
            self.assertIn("exceptions", str(end.exception))

    def test_a_template_that_cannot_be_read_fails(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("AWSTemplateFormatVersion: '2010-09-09'\nResources: [\n")
            file.flush()
            with self.assertRaises(SystemExit):
                list(templates.checkov(file.name))


class Bills(unittest.TestCase):
    def test_a_reference_without_component_is_found(self):
        component = {"type": "library", "bom-ref": "b@1", "name": "b", "version": "1"}
        bill = {
            "specVersion": "1.6",
            "metadata": {"component": {"bom-ref": "a@1"}},
            "components": [component],
            "dependencies": [{"ref": "a@1", "dependsOn": ["b@1", "c@1"]}],
        }
        self.assertEqual(list(bills.check(bill)), ["c@1 is in the graph, but no component"])
        self.assertIn("no components", list(bills.check({**bill, "components": []})))

    def test_a_bill_against_the_schema_is_found(self):
        self.assertIsNotNone(bills.error('{"bomFormat": "CycloneDX", "specVersion": "1.6", "licence": "MIT"}'))
        self.assertIsNotNone(bills.error("{}"))
        self.assertIsNone(bills.error('{"bomFormat": "CycloneDX", "specVersion": "1.6"}'))


if __name__ == "__main__":
    unittest.main()
