"""Each state of a month and of a file, prepared in the stack, with its sentence and its next step."""

import re
import unittest

from playwright.sync_api import expect

import world
from browser import BrowserTest
from world import MONTH, MONTH_NAME, SEEDS, address


class States(BrowserTest):
    def look(self, organization, rest="", **options):
        page = self.visitor(organization, **options)
        self.open(page, address(organization, rest))
        return page

    def test_files_in_each_state(self):
        states = SEEDS["states"]
        page = self.visitor(states["org"])
        self.open(page, address(states["org"], "/exports"))
        for name, badge, sentences, step in [
            ("pending", "◌ Waiting", ["Its position is not known. You may leave this page."], ("link", "Look again")),
            ("long", "◌ Waiting", ["longer than usual", "{id}"], ("link", "Look again")),
            ("starting", "◔ In work", ["The first rows are being read."], ("link", "Look again")),
            ("running", "◔ In work", ["1234567 rows, 89.1 MB written."], ("link", "Look again")),
            ("succeeded", "● Ready", ["The file is complete: 124 rows."], ("link", "Download CSV")),
            ("failed", "✕ Failed", ["The file could not be stored", "{id}"], ("button", "Make the file again")),
            ("expired", "▢ Deleted", ["after 0 days. Its sums and checksum are kept."], ("button", "Make the file again")),
        ]:
            with self.subTest(name):
                job = states["jobs"][name]
                page.goto(address(states["org"], f"/exports/{job}"))
                expect(page.locator("#status .state")).to_have_text(badge)
                for sentence in sentences:
                    expect(page.locator("#status")).to_contain_text(sentence.replace("{id}", job))
                expect(page.locator("#status").get_by_role(step[0], name=step[1], exact=True)).to_be_visible()
                expect(page.locator("#live")).to_have_attribute("role", "status")
                self.shot(page, f"state-{name}")
        page.goto(address(states["org"], f"/exports/{states['jobs']['running']}"))
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "420")
        page.goto(address(states["org"], "/exports"))
        for badge in ["◌ Waiting", "◔ In work", "✕ Failed", "▢ Deleted"]:
            expect(page.locator("tbody")).to_contain_text(badge)
        self.shot(page, "files")
        page.get_by_label("Status").select_option("Failed")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("tbody tr")).to_have_count(1)
        page.get_by_label("Month, such as").fill("2026-13")
        page.get_by_label("Month, such as").evaluate("field => field.removeAttribute('pattern')")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text("is not a month; write it as 2024-01")

    def test_a_file_that_was_made_again(self):
        states = SEEDS["states"]
        page = self.visitor(states["org"])
        self.open(page, address(states["org"], f"/exports/{states['jobs']['failed']}"))
        page.get_by_role("button", name="Make the file again").click()
        expect(page.locator("#status .state")).to_have_text("● Ready")
        self.assertNotIn(states["jobs"]["failed"], page.url)

    def test_months_without_usage(self):
        page = self.look(SEEDS["nothing"], f"/{MONTH}")
        expect(page.locator("main > p .state")).to_have_text("– No usage")
        expect(page.locator("main")).to_contain_text("nor for the months around it")
        self.assertEqual(page.locator("svg").count(), 0, "there is a chart of zeros")
        self.shot(page, "state-nothing")
        page = self.look(SEEDS["walks"][3], f"/{SEEDS['empty_month']}")
        expect(page.locator("main")).to_contain_text("Usage was received, all of other months.")
        page = self.look(SEEDS["walks"][3], f"/{SEEDS['old_month']}")
        expect(page.locator("main > p .state")).to_have_text("– No longer kept")
        expect(page.locator("main")).to_contain_text("only files that were made then exist")
        page = self.look(SEEDS["walks"][3], f"/{SEEDS['next_month']}")
        expect(page.locator("main > p .state")).to_have_text("– Not begun")
        self.assertEqual(page.get_by_role("button", name=re.compile("Make")).count(), 0)

    def test_the_present_month_is_open_and_today_partial(self):
        organization = SEEDS["present"]
        page = self.look(organization)
        expect(page.locator("section").first).to_contain_text("today is partial")
        expect(page.locator("section .state").first).to_have_text("○ Open")
        page.get_by_text("Figures by day", exact=True).first.click()
        expect(page.get_by_role("rowheader", name="(partial)")).to_be_visible()
        self.assertEqual(page.locator("rect.partial").count(), 1)
        self.shot(page, "overview-present")

    def test_usage_that_waits_is_said_above_the_figures(self):
        organization = SEEDS["waiting"]
        page = self.visitor(organization)
        self.open(page, address(organization, f"/{MONTH}"))
        for hour in range(3):
            world.add_usage(organization, f"{MONTH}-05T0{hour}:30:00Z", "1")
        page.reload()
        expect(page.locator(".note").first).to_contain_text("3 hours of usage")
        expect(page.locator("main > p .state").first).to_have_text("◐ Provisional")
        self.shot(page, "state-waiting")

    def test_too_many_files_are_named(self):
        organization = SEEDS["capped"]
        page = self.look(organization, f"/{MONTH}")
        page.get_by_role("button", name=f"Make a new file of {MONTH_NAME}").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Too many files are unfinished")
        expect(page.locator("tbody tr").first).to_contain_text("Waiting")
        self.shot(page, "state-capped")

    def test_an_auditor_reads_and_is_offered_nothing_else(self):
        organization = SEEDS["walks"][3]
        page = self.look(organization, f"/{MONTH}", role="auditor")
        expect(page.locator(".note").first).to_contain_text("Figures need the permission analytics:usage:read")
        self.assertEqual(page.get_by_role("button", name=re.compile("Make|Compare|Book")).count(), 0)
        self.assertEqual(page.get_by_role("table", name="Figures by model").count(), 0)
        page.get_by_role("link", name="Activity").click()
        expect(page.locator("tbody tr").first).to_be_visible()
        self.shot(page, "auditor-activity")

    def test_others_and_nobody_find_no_page(self):
        page = self.look(SEEDS["nothing"])
        for rest in ["", f"/{MONTH}", "/exports", "/activity"]:
            answer = page.goto(address(SEEDS["walks"][3], rest))
            self.assertEqual(answer.status, 404, rest)
            expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
        answer = page.goto(address(SEEDS["nothing"], "/exports/0190a5c8-0000-7000-8000-000000000000"))
        self.assertEqual(answer.status, 404)
        expect(page.locator("main code")).to_have_text(re.compile(".+"))
        self.assertEqual(page.goto(f"{world.URL}/finance/platform").status, 404)
        page = self.look(SEEDS["nothing"], role="nobody")
        self.assertEqual(page.goto(address(SEEDS["nothing"])).status, 403)

    def test_the_platform_sees_what_is_due_and_what_failed(self):
        page = self.visitor(SEEDS["nothing"], role="platform-admin", subject="platform.engineer@example.com")
        self.open(page, f"{world.URL}/finance/platform")
        world.make_due(SEEDS["due"], SEEDS["due_job"])
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Platform")
        expect(page.get_by_role("region", name="Due files")).to_contain_text(SEEDS["due"])
        failed = page.get_by_role("region", name="Failed files")
        expect(failed.get_by_role("link", name=SEEDS["states"]["jobs"]["failed"])).to_be_visible()
        self.shot(page, "platform")
        page.get_by_role("link", name="CI report").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("CI report")
        # The organization that was looked into can see it.
        page = self.look(SEEDS["due"], "/activity")
        expect(page.locator("tbody")).to_contain_text("looked in from the platform")


if __name__ == "__main__":
    unittest.main()
