"""What holds for every page: accessibility, narrow and dark screens, print, languages; and pages with extreme content."""

import re
import time
import unittest

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

import world
from browser import BrowserTest
from test_walk import digits
from world import MONTH, MONTH_NAME, SEEDS, address

AXE = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
LARGEST = "9223372036854775807"
DEAREST = "9999999999.9999"


def addresses():
    walk, states = SEEDS["walks"][3], SEEDS["states"]
    months = [address(walk, f"/{MONTH}"), address(walk, f"/{SEEDS['empty_month']}"), address(SEEDS["nothing"], f"/{MONTH}")]
    files = [address(states["org"], f"/exports/{job}") for job in states["jobs"].values()]
    rest = [f"{world.URL}/finance", address(walk), address(walk, "/exports"), address(walk, "/activity"),
            address(walk, f"/exports/{SEEDS['job']}?check=1"), address(SEEDS["present"]), address(states["org"], "/exports"),
            address(walk, "/no-such-page"), f"{world.URL}/finance/logout"]
    return rest + months + files


class Pages(BrowserTest):
    def everybody(self, **options):
        organizations = [SEEDS["walks"][3], SEEDS["states"]["org"], SEEDS["nothing"], SEEDS["present"]]
        page = self.visitor(organizations, **options)
        self.open(page, address(organizations[0]))
        return page

    def test_no_page_violates_a_rule_of_accessibility(self):
        for scheme in ["light", "dark"]:
            page = self.everybody(color_scheme=scheme)
            for width in [320, 1280]:
                page.set_viewport_size({"width": width, "height": 900})
                for url in addresses():
                    with self.subTest(f"{scheme} {width} {world.path(url)}"):
                        page.goto(url)
                        # All that is folded is looked at, too.
                        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true })")
                        found = Axe().run(page, options=AXE).response["violations"]
                        self.assertEqual([(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [])

    def test_narrow_pages_do_not_scroll_sideways(self):
        page = self.everybody(viewport={"width": 320, "height": 640})
        for url in addresses():
            with self.subTest(world.path(url)):
                page.goto(url)
                width = page.evaluate("document.scrollingElement.scrollWidth")
                self.assertLessEqual(width, 320)
        page.goto(address(SEEDS["walks"][3], f"/{MONTH}"))
        self.shot(page, "narrow-month")
        # What can be pressed is large enough for a finger.
        small = page.evaluate("""() => [...document.querySelectorAll('button, .button, nav a, select, input:not([type=hidden])')]
            .map(element => [element.outerHTML, element.getBoundingClientRect()])
            .filter(([html, box]) => box.width > 0 && (box.width < 20 || box.height < 24) && !html.includes('radio'))
            .map(([html]) => html)""")
        self.assertEqual(small, [])

    def test_dark_printed_and_forced_pages(self):
        month = address(SEEDS["walks"][3], f"/{MONTH}")
        page = self.everybody(color_scheme="dark")
        page.goto(month)
        self.shot(page, "dark-month")
        page.emulate_media(media="print", color_scheme="light")
        self.assertFalse(page.get_by_role("navigation").is_visible())
        self.assertTrue(page.get_by_role("table", name="Figures by model").is_visible())
        self.shot(page, "print-month")
        page.emulate_media(media="screen", forced_colors="active")
        self.shot(page, "forced-month")
        fill = page.locator("rect.bar").first.evaluate("bar => getComputedStyle(bar).fill")
        self.assertNotEqual(fill, "rgb(74, 120, 191)")
        page.emulate_media(forced_colors="none", reduced_motion="reduce")
        moving = page.evaluate("[...document.querySelectorAll('*')].some(it => getComputedStyle(it).transitionDuration !== '0s')")
        self.assertFalse(moving)

    def test_german_is_the_second_language(self):
        page = self.everybody(locale="de-DE")
        expect(page.locator("html")).to_have_attribute("lang", "de")
        expect(page.get_by_role("heading", level=1)).to_have_text("Monate")
        page.goto(address(SEEDS["walks"][3], f"/{MONTH}"))
        expect(page.locator("main > p .state").first).to_have_text("● Endgültig")
        self.shot(page, "german-month")
        # The language of the address wins, and the links keep it.
        page.get_by_role("link", name="English").click()
        expect(page).to_have_url(re.compile(r"\?lang=en$"))
        page.get_by_role("link", name="Files", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Files")
        expect(page).to_have_url(re.compile(r"/exports\?lang=en$"))

    def test_the_largest_numbers_are_exact(self):
        organization = SEEDS["extreme"]
        page = self.visitor(organization)
        self.open(page, address(organization, f"/{MONTH}"))
        row = page.get_by_role("table", name="Figures by model").locator("tbody tr").first
        cells = [digits(cell) for cell in row.locator("td").all()]
        self.assertEqual(cells[:4], [LARGEST, LARGEST, "0", DEAREST])
        self.shot(page, "extreme")
        page.get_by_role("button", name=f"Make a new file of {MONTH_NAME}").click()
        expect(page.locator("#status .state")).to_have_text("● Ready")
        with page.expect_download() as started:
            page.get_by_role("link", name="Download CSV", exact=True).click()
        lines = started.value.path().read_text().splitlines()
        self.assertTrue(lines[1].endswith(f",{LARGEST},{LARGEST},0,{DEAREST}"), lines)
        facts = page.locator("#main section dl").first
        for number in [LARGEST, DEAREST]:
            self.assertIn(number, facts.inner_text())

    def test_a_month_of_twenty_thousand_rows(self):
        organization = SEEDS["many"]
        page = self.visitor(organization)
        self.open(page, address(organization))
        begin = time.monotonic()
        page.goto(address(organization, f"/{MONTH}"))
        expect(page.get_by_role("table", name="Figures by model")).to_be_visible()
        self.assertLess(time.monotonic() - begin, 5)
        rows = page.get_by_role("table", name="Figures by model").locator("tbody tr")
        self.assertEqual(rows.count(), 201)
        expect(rows.last).to_contain_text(f"and {SEEDS['many_models'] - 200} more")
        page.get_by_role("button", name=f"Make a new file of {MONTH_NAME}").click()
        expect(page.locator("#status .state")).to_have_text("● Ready")
        expect(page.locator("#status")).to_contain_text(f"{SEEDS['many_models'] * SEEDS['days']} rows")

    def test_text_from_outside_is_text(self):
        evil = SEEDS["evil"]
        page = self.visitor(evil["org"], subject=evil["subject"])
        self.open(page, address(evil["org"], f"/{MONTH}"))
        for rest in [f"/{MONTH}", f"/exports/{evil['job']}", "/exports", "/activity", ""]:
            page.goto(address(evil["org"], rest))
            self.assertEqual(page.evaluate("window.hit"), None, rest)
            self.assertEqual(page.locator("main script, main img, body > script").count(), 0, rest)
            self.assertNotIn("\u202e", page.content())
        page.goto(address(evil["org"], f"/exports/{evil['job']}"))
        expect(page.locator("main")).to_contain_text(evil["note"].replace("\u202e", "⟨U+202E⟩"))
        self.assertLessEqual(page.evaluate("document.scrollingElement.scrollWidth"), 1280)
        self.shot(page, "text-from-outside")

    def test_two_tabs_and_the_way_back(self):
        organization = SEEDS["walks"][4]
        one = self.visitor(organization)
        self.open(one, address(organization, f"/{MONTH}"))
        two = one.context.new_page()
        two.goto(address(organization, f"/{MONTH}"))
        one.get_by_role("button", name=f"Make a new file of {MONTH_NAME}").click()
        expect(one.locator("#status .state")).to_have_text("● Ready")
        one.go_back()
        expect(one.get_by_role("heading", level=1)).to_have_text(MONTH_NAME)
        expect(one.locator("#files tbody tr")).to_have_count(1)
        one.go_forward()
        expect(one.get_by_role("heading", level=1)).to_have_text(f"File of {MONTH_NAME}")
        two.reload()
        three = one.context.new_page()
        three.goto(address(organization, f"/{MONTH}"))
        for page, reference in [(two, "JE-1"), (three, "JE-2")]:
            page.locator("#book-reference").fill(reference)
            page.get_by_role("button", name="Book this file").click()
            expect(page.locator("#booking")).to_contain_text(f"as {reference} by you")
        expect(three.locator("#booking")).to_contain_text("version 2.")
        three.get_by_text("Booked before").click()
        expect(three.locator("#booking ul")).to_contain_text("as JE-1 by you")
        # A form of a session that has ended says so, and keeps what was typed.
        two.locator("#book-reference").fill("JE-3")
        one.get_by_role("button", name="Sign out").click()
        expect(one.get_by_role("heading", level=1)).to_have_text("You are signed out")
        two.get_by_role("button", name="Book this file").click()
        expect(two.get_by_role("heading", level=1)).to_have_text("You are not signed in")
        self.shot(two, "state-session-over")
        two.go_back()
        self.assertNotIn("JE-3", two.url)


if __name__ == "__main__":
    unittest.main()
