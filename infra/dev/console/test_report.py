"""The report of CI: its form by mouse and keyboard, with and without scripts; its charts of 20 and of 2,000 runs; how it looks
narrow, dark, with forced colours and on paper."""

import re
import unittest
import urllib.parse

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import world
from browser import BrowserTest
from hands import Keyboard
from test_pages import AXE
from world import SEEDS

PATH = f"{world.URL}/finance/platform/ci"
SERVICE = SEEDS["ci"]["service"]


def address(**query):
    return f"{PATH}?{urllib.parse.urlencode(query)}" if query else PATH


FEW = {"service": SERVICE, "command": "make few"}
MANY = {"service": SERVICE, "command": "make many"}
CHANGED = {"service": SERVICE, "command": "make changed"}
MISTAKES = {"from": "2025-13-01", "minPercent": "lots", "month": "soon", "service": SERVICE}
TOLD = {"service": SERVICE, "command": "make told"}
STATES = {"told": TOLD, "all": {}, "few": FEW, "many": MANY, "changed": CHANGED, "nothing": {"service": "no such service"},
          "mistakes": MISTAKES}


class Report(BrowserTest):
    def engineer(self, **options):
        page = self.visitor(SEEDS["nothing"], role="platform-admin", subject="platform.engineer@example.com", **options)
        self.open(page, PATH)
        expect(page.get_by_role("heading", level=1)).to_have_text("CI report")
        return page

    def look(self, page, query):
        page.goto(address(**query))
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")

    def chart(self, page, name):
        return page.locator("article").filter(has=page.get_by_role("heading", name=name))

    def test_the_form_works_without_scripts_by_keyboard_and_its_address_keeps_the_choice(self):
        for scripts in [True, False]:
            with self.subTest(scripts=scripts):
                page = self.engineer(java_script_enabled=scripts)
                hands = Keyboard()
                page.keyboard.press("Tab")
                expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
                service = page.get_by_label("Service")
                hands.reach(service)
                page.keyboard.type(SERVICE)
                expect(service).to_have_value(SERVICE)
                hands.press(page.get_by_role("button", name="Show"))
                page.wait_for_url(f"**service={SERVICE}**")
                expect(page.get_by_label("Service")).to_have_value(SERVICE)
                # The other fields offer what goes with it.
                commands = page.get_by_label("Command").locator("option").all_inner_texts()
                self.assertEqual(commands, ["any", "make changed", "make few", "make many", "make told"])
                command = page.get_by_label("Command")
                hands.reach(command)
                page.keyboard.type("make few")
                hands.press(page.get_by_role("button", name="Show"))
                expect(page.locator("article")).to_have_count(1)
                expect(page.locator("article h3")).to_have_text(f"{SERVICE} · make few · linux")
                # A range of one press keeps the rest, and so does the other language.
                hands.press(page.get_by_role("link", name="Last 7 days"))
                expect(page.get_by_role("link", name="Last 7 days")).to_have_attribute("aria-current", "true")
                expect(page.locator("article")).to_contain_text("7 successful runs, one dot each.")
                hands.press(page.get_by_role("link", name="Deutsch"))
                expect(page.get_by_label("Dienst")).to_have_value(SERVICE)
                expect(page.locator("article")).to_contain_text("7 successful runs, one dot each.")
                hands.press(page.get_by_role("link", name="Auswahl aufheben"))
                expect(page).to_have_url(f"{PATH}?lang=de")
                expect(page.get_by_label("Dienst")).to_have_value("")

    def test_a_mistake_is_named_at_its_field_and_keeps_the_input(self):
        page = self.engineer()
        answer = page.goto(address(**MISTAKES))
        self.assertEqual(answer.status, 400)
        alert = page.get_by_role("alert")
        expect(alert).to_be_focused()
        for label, kept, mistake in [("From (UTC day)", "2025-13-01", "must be a day such as"),
                                     ("Month of the evidence", "soon", "is not a month"),
                                     ("Smallest change, percent", "lots", "must be a number from 0.01 to 1000")]:
            field = page.get_by_label(label)
            expect(field).to_have_value(kept)
            expect(field).to_have_attribute("aria-invalid", "true")
            described = page.locator(f"#{field.get_attribute('aria-describedby')}")
            expect(described).to_contain_text(f"✕ {mistake}" if label != "Month of the evidence" else mistake)
            expect(alert.get_by_role("link", name=label)).to_be_visible()
        expect(page.get_by_label("Service")).to_have_value(SERVICE)
        self.assertEqual(page.locator(".report").count(), 0)
        self.shot(page, "ci-mistakes")
        page.get_by_label("From (UTC day)").fill("")
        page.get_by_label("Month of the evidence").fill("")
        page.get_by_label("Smallest change, percent").fill("10")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("article")).to_have_count(4)
        expect(page.locator(".report")).to_contain_text("by at least 10 % and 2 s")

    def test_twenty_runs_are_dots_and_two_thousand_are_steps(self):
        page = self.engineer()
        self.look(page, FEW)
        few = self.chart(page, "make few")
        expect(few).to_contain_text("20 successful runs, one dot each.")
        self.assertEqual(few.locator("path.run").get_attribute("d").count("M"), 20)
        expect(few.get_by_role("region", name=re.compile("^Runs of")).locator("tbody tr")).to_have_count(20)
        self.shot(page, "ci-few")
        self.look(page, MANY)
        many = self.chart(page, "make many")
        expect(many).to_contain_text("2000 successful runs in steps of 2 days")
        expect(many).to_contain_text("Changes are looked for among the latest 1000.")
        rows = many.get_by_role("region", name=re.compile("^Steps of")).locator("tbody tr")
        self.assertEqual(sum(int(row.locator("td").first.inner_text()) for row in rows.all()), 2000)
        # The run that hung is in the picture, beyond the scale, and in the table.
        self.assertGreater(many.locator("path.beyond").get_attribute("d").count("M"), 0)
        longest = max(float(row.locator("td").last.inner_text().removesuffix(" s")) for row in rows.all())
        self.assertGreater(longest, 5000)
        self.shot(page, "ci-many")
        # Dots stay far apart: no black band.
        self.assertLess(many.locator("path.run").get_attribute("d").count("M"), 200)

    def test_changes_are_told_apart_without_colour(self):
        page = self.engineer()
        self.look(page, CHANGED)
        chart = self.chart(page, "make changed")
        shapes = chart.locator("g.confirmed")
        expect(shapes).to_have_count(2)
        expect(chart.locator("ol li")).to_have_count(2)
        expect(chart.locator("ol li").first).to_contain_text(re.compile(r"confirmed: .*\+.* % slower since"))
        self.assertEqual(shapes.locator("text").all_text_contents(), ["1", "2"])
        self.shot(page, "ci-changed")
        self.look(page, TOLD)
        chart = self.chart(page, "make told")
        # Lines and shapes differ, and each state is a word beside its number.
        dashes = {name: chart.locator(f"g.{name} line.change").first.evaluate("it => getComputedStyle(it).strokeDasharray")
                  for name in ["confirmed", "provisional"]}
        self.assertNotEqual(dashes["confirmed"], dashes["provisional"])
        fills = {name: chart.locator(f"g.{name} .shape").first.evaluate("it => getComputedStyle(it).fill")
                 for name in ["confirmed", "provisional"]}
        self.assertNotEqual(fills["confirmed"], fills["provisional"])
        words = [item.locator(".state").inner_text() for item in chart.locator("ol li").all()]
        self.assertEqual(words, ["◆ confirmed", "◆ confirmed", "◇ provisional"])
        withdrawn = page.get_by_role("region", name="Withdrawn changes")
        expect(withdrawn).to_contain_text("✕ withdrawn: with the runs since then it may be chance")
        self.shot(page, "ci-told")

    def test_a_change_is_acknowledged_by_keyboard_and_taken_back(self):
        for scripts in [False, True]:
            with self.subTest(scripts=scripts):
                page = self.engineer(java_script_enabled=scripts)
                hands = Keyboard()
                page.goto(address(**TOLD))
                expect(page.locator(".verdict")).to_contain_text("△ Perhaps slower, provisional:")
                row = page.locator("tr[id^=change-]").filter(has_text="provisional")
                hands.press(row.get_by_text("Acknowledge").first)
                hands.press(row.get_by_role("button", name="Acknowledge"))
                # A mistake is at its field, and the rest of the address stays.
                alert = page.get_by_role("alert")
                expect(alert).to_contain_text("Enter what explains the change")
                row = page.locator("tr[id^=change-]").filter(has_text="provisional")
                note = row.get_by_label("What explains it")
                expect(note).to_have_attribute("aria-invalid", "true")
                expect(page.get_by_label("Command")).to_have_value("make told")
                self.shot(page, "ci-note-mistake")
                page.goto(address(**TOLD))
                row = page.locator("tr[id^=change-]").filter(has_text="provisional")
                hands.press(row.get_by_text("Acknowledge").first)
                hands.write(row.get_by_label("What explains it"), "expected: <b>new test suite")
                hands.press(row.get_by_role("button", name="Acknowledge"))
                page.wait_for_url(re.compile(r"command=make\+told.*#change-"))
                row = page.locator("tr[id^=change-]").filter(has_text="provisional")
                expect(row).to_contain_text("✓ provisional, acknowledged: expected: <b>new test suite user ")
                expect(page.locator(".verdict")).to_contain_text("✓ No slowdown needs attention. Acknowledged slowdowns: 1.")
                expect(self.chart(page, "make told").locator("g.acknowledged")).to_have_count(1)
                self.shot(page, "ci-acknowledged")
                hands.press(row.get_by_text("Change the answer"))
                hands.press(row.get_by_role("button", name="Take the answer back"))
                expect(page.locator(".verdict")).to_contain_text("△ Perhaps slower, provisional:")

    def test_single_tests_are_those_of_a_service(self):
        page = self.engineer()
        expect(page.locator(".report")).to_contain_text("Choose a service to see its slowest tests")
        page.goto(address(**TOLD))
        rows = {name: page.get_by_role("region", name=name).locator("tbody tr")
                for name in ["Tests that became slower", "Flaky tests", "Slowest tests"]}
        expect(rows["Tests that became slower"]).to_have_count(1)
        expect(rows["Tests that became slower"]).to_contain_text("cart · adds up")
        expect(rows["Flaky tests"]).to_have_count(1)
        expect(rows["Flaky tests"]).to_contain_text("cart · sends mail")
        expect(rows["Slowest tests"]).to_have_count(3)
        expect(rows["Slowest tests"].first).to_contain_text("cart · loads")

    def test_a_form_of_elsewhere_answers_nothing(self):
        page = self.engineer()
        page.goto(address(**TOLD))
        action = page.locator("details.answer form").first.get_attribute("action")
        answer = page.request.post(world.URL + action, form={"note": "forged"}, headers={"Origin": world.URL})
        self.assertEqual(answer.status, 403)
        page.reload()
        self.assertNotIn("forged", page.content())

    def test_no_state_violates_a_rule_of_accessibility(self):
        for scheme in ["light", "dark"]:
            page = self.engineer(color_scheme=scheme)
            for width in [320, 1280]:
                page.set_viewport_size({"width": width, "height": 900})
                for name, query in STATES.items():
                    with self.subTest(f"{scheme} {width} {name}"):
                        self.look(page, query)
                        found = Axe().run(page, options=AXE).response["violations"]
                        self.assertEqual([(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [])
                        self.assertLessEqual(page.evaluate("document.scrollingElement.scrollWidth"), width)
                        if scheme == "dark" or width == 320:
                            self.shot(page, f"ci-{name}-{scheme}-{width}")

    def test_text_of_a_narrow_chart_can_be_read(self):
        page = self.engineer(viewport={"width": 320, "height": 640})
        for query in [FEW, MANY, CHANGED]:
            self.look(page, query)
            heights = page.locator("article svg text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
            self.assertGreaterEqual(min(heights), 10)
            # No label lies on another, apart from numbers of changes.
            boxes = page.locator("article svg text.label").evaluate_all(
                "all => all.map(one => { const box = one.getBoundingClientRect(); return [box.left, box.right, box.top, box.bottom] })")
            over = [(a, b) for index, a in enumerate(boxes) for b in boxes[index + 1:]
                    if a[0] < b[1] and b[0] < a[1] and a[2] + 3 < b[3] and b[2] + 3 < a[3]]
            self.assertEqual(over, [])

    def test_every_region_that_scrolls_is_reached_and_left_by_tab(self):
        page = self.engineer(viewport={"width": 320, "height": 640})
        self.look(page, MANY)
        regions = page.get_by_role("region").all()
        names = [region.get_attribute("aria-label") for region in regions]
        self.assertEqual(len(names), len(set(names)), names)
        for region in regions:
            Keyboard().reach(region)
        page.keyboard.press("Tab")
        expect(regions[-1]).not_to_be_focused()

    def test_on_paper_with_forced_colours_and_saved(self):
        page = self.engineer(color_scheme="dark")
        page.goto(PATH)
        page.emulate_media(media="print", color_scheme="dark")
        for form in page.locator("main form").all():
            expect(form).to_be_hidden()
        expect(page.get_by_role("navigation")).to_be_hidden()
        self.assertEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.assertEqual(page.locator("article").first.evaluate("it => getComputedStyle(it).breakInside"), "avoid")
        self.assertEqual(page.locator("thead").first.evaluate("it => getComputedStyle(it).display"), "table-header-group")
        self.shot(page, "ci-print")
        (world.SHOTS / "ci-report.pdf").write_bytes(page.pdf(format="A4", print_background=False))
        page.emulate_media(media="screen", forced_colors="active", color_scheme="light")
        page.goto(address(service=SERVICE))
        self.shot(page, "ci-forced")
        stroke = page.locator(".shape").first.evaluate("it => getComputedStyle(it).stroke")
        self.assertNotIn(stroke, ["rgb(179, 38, 30)", "rgb(23, 105, 47)"])
        page.emulate_media(forced_colors="none")
        with page.expect_download() as started:
            page.get_by_role("link", name="Save the report as one file").click()
        self.assertRegex(started.value.suggested_filename, r"^ci-report-\d{4}-\d\d-\d\d\.html$")
        saved = world.SHOTS / "ci-report.html"
        started.value.save_as(saved)
        file = self.context().new_page()
        file.goto(saved.as_uri())
        expect(file.get_by_role("main")).to_contain_text(f"service {SERVICE}")
        self.assertEqual(file.locator("form, script, link").count(), 0)
        found = Axe().run(file, options=AXE).response["violations"]
        self.assertEqual([(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [])
        self.shot(file, "ci-file")

    def test_others_find_no_report(self):
        page = self.visitor(SEEDS["nothing"])
        self.open(page, f"{world.URL}/finance")
        for path in [PATH, f"{PATH}/file"]:
            self.assertEqual(page.goto(path).status, 403, path)


if __name__ == "__main__":
    unittest.main()
