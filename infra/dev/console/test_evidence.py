"""The page of a pack of evidence, as it is saved: accessibility, narrow screens, and paper."""

from axe_playwright_python.sync_playwright import Axe

from browser import BrowserTest
from test_pages import AXE
from world import SEEDS

COUNT = 60


class Evidence(BrowserTest):
    def saved(self, **options):
        page = self.context(**options).new_page()
        page.set_content(SEEDS["evidence"])
        return page

    def test_it_violates_no_rule_of_accessibility(self):
        for width in [320, 1280]:
            with self.subTest(width):
                page = self.saved(viewport={"width": width, "height": 900})
                found = Axe().run(page, options=AXE).response["violations"]
                self.assertEqual([(one["id"], [node["html"] for node in one["nodes"]]) for one in found], [])
                self.assertLessEqual(page.evaluate("document.scrollingElement.scrollWidth"), width)

    def test_names_stay_text_and_verdicts_have_words(self):
        page = self.saved()
        self.assertIsNone(page.evaluate("window.hit ?? null"))
        table = page.get_by_role("table", name="The targets with their verdicts")
        verdicts = table.locator("tbody td:nth-of-type(1)").all_inner_texts()
        self.assertEqual(verdicts, ["✓ pass", "✗ fail"] + ["– not enough runs"] * (COUNT - 2))
        self.assertIn("Kept: 1. Missed: 1. Without enough runs for a verdict: 58.", page.locator("main").inner_text())

    def test_on_paper_each_sheet_has_the_headings_and_no_row_is_cut(self):
        page = self.saved(color_scheme="dark")
        page.emulate_media(media="print")
        style = "element => [getComputedStyle(element).display, getComputedStyle(element).breakInside]"
        self.assertEqual(page.locator("thead").first.evaluate(style)[0], "table-header-group")
        self.assertEqual(page.locator("tbody tr").first.evaluate(style)[1], "avoid")
        for paper in ["A4", "Letter"]:
            with self.subTest(paper):
                sheets = page.pdf(format=paper).count(b"/Type /Page\n")
                self.assertGreater(sheets, 2)
        # Nothing is told by colour alone: on paper the verdicts are black.
        colour = page.locator(".pass").first.evaluate("element => getComputedStyle(element).color")
        self.assertEqual(colour, "rgb(0, 0, 0)")
