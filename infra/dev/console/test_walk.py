"""The close of a month, from the sign-in to the sign-out: with the mouse, by keyboard alone, and without scripts."""

import csv
import hashlib
import io
import re
import unittest
import zipfile
from decimal import Decimal

from playwright.sync_api import expect

import world
from browser import BrowserTest
from hands import Keyboard, Mouse
from world import MONTH, MONTH_NAME, address

LATE = Decimal("7.5000")


def digits(cell):
    """The text of a cell as a person copies it."""
    return cell.evaluate("""cell => {
        getSelection().selectAllChildren(cell);
        const text = getSelection().toString();
        getSelection().removeAllRanges();
        return text.trim();
    }""")


class Walk(BrowserTest):
    def close_the_month(self, organization, hands, **options):
        page = self.visitor(organization, **options)
        scripts = options.get("java_script_enabled", True)
        month = address(organization, f"/{MONTH}")

        # The sign-in returns to the address that was asked for.
        self.open(page, month)
        expect(page).to_have_url(month)
        expect(page.get_by_role("heading", level=1)).to_have_text(MONTH_NAME)
        expect(page.locator("main > p .state").first).to_have_text("● Final")
        self.shot(page, f"walk-{hands.name}-{'scripts' if scripts else 'plain'}-month")

        job = self.make(page, hands, scripts)
        file = self.download(page, hands, scripts)
        self.same_digits(page, hands, month, file)
        total = sum(Decimal(row["cost_total"]) for row in csv.DictReader(io.StringIO(file.decode())))
        self.compare(page, hands, total)
        self.book(page, hands)
        self.change(page, hands, organization, month, total)
        self.pack(page, hands, organization, job, file)
        self.sign_out(page, hands, month)

    def make(self, page, hands, scripts):
        hands.press(page.get_by_role("button", name=f"Make a new file of {MONTH_NAME}"))
        page.wait_for_url("**/exports/**")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"File of {MONTH_NAME}")
        status = page.locator("#status .state")
        if not scripts:
            for _ in range(60):
                if status.inner_text() == "● Ready":
                    break
                page.wait_for_timeout(500)
                hands.press(page.get_by_role("link", name="Look again"))
        expect(status).to_have_text("● Ready")
        return page.url.rsplit("/", 1)[1]

    def download(self, page, hands, scripts):
        with page.expect_download() as started:
            hands.press(page.get_by_role("link", name="Download CSV", exact=True))
        saved = world.SHOTS / f"{hands.name}-{scripts}.csv"
        started.value.save_as(saved)
        file = saved.read_bytes()
        sum_of_file = hashlib.sha256(file).hexdigest()
        expect(page.locator("#evidence code").first).to_have_text(sum_of_file)
        if scripts:
            page.get_by_text("Check a file that you have").click()
            page.get_by_label("Choose the file").set_input_files(saved)
            expect(page.locator("output")).to_have_text("Equal: this is the file, byte for byte.")
            other = {"name": "other.csv", "mimeType": "text/csv", "buffer": file[:-2] + b"1\n"}
            page.get_by_label("Choose the file").set_input_files(other)
            expect(page.locator("output")).to_contain_text("Different: this is not the file")
        return file

    def same_digits(self, page, hands, month, file):
        """The figures on the screen are those of the file, digit by digit, and so is what a person copies."""
        hands.press(page.get_by_role("link", name=MONTH_NAME, exact=True))
        expect(page).to_have_url(month)
        models, days = {}, {}
        for row in csv.DictReader(io.StringIO(file.decode())):
            for sums, key in ((models, row["model_id"] or "no model"), (days, row["bucket_start"][:10])):
                sums.setdefault(key, [0, 0, 0, Decimal(0)])
                for index, column in enumerate(["request_count", "tokens_total", "error_count", "cost_total"]):
                    sums[key][index] += Decimal(row[column]) if column == "cost_total" else int(row[column])
        table = page.get_by_role("table", name="Figures by model")
        shown = {row.locator("th").inner_text(): [digits(cell) for cell in row.locator("td").all()[:4]]
                 for row in table.locator("tbody tr").all()}
        self.assertEqual(shown, {key: [str(value) for value in values] for key, values in models.items()})
        totals = [digits(cell) for cell in table.locator("tfoot td").all()[:4]]
        self.assertEqual(totals, [str(sum(column)) for column in zip(*models.values())])
        hands.press(page.get_by_text("Figures by day", exact=True).first)
        table = page.get_by_role("table", name="Figures by day")
        shown = [[digits(cell) for cell in row.locator("td").all()] for row in table.locator("tbody tr").all()]
        self.assertEqual(shown, [[str(value) for value in days[day]] for day in sorted(days)])

    def compare(self, page, hands, total):
        # A mistake keeps what was typed, and the focus is where it is named.
        hands.write(page.locator("#amount"), "1,523")
        hands.press(page.get_by_role("button", name="Compare", exact=True))
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("“1,523” can be read in two ways")
        expect(alert).to_contain_text("Enter the name of the entry")
        expect(alert).to_be_focused()
        expect(page.locator("#amount")).to_have_value("1,523")
        hands.choose(page.get_by_role("radio", name="1523 USD", exact=True))
        hands.write(page.locator("#compare-reference"), "JE-1016")
        hands.press(page.get_by_role("button", name="Compare", exact=True))
        expect(page.locator("#compare strong").first).to_contain_text("Outside 1 %.")
        # The total of the file, as a German types it.
        typed = f"{total:,.4f}".translate(str.maketrans(",.", ".,"))
        hands.write(page.locator("#amount"), typed)
        hands.write(page.locator("#tolerance"), "0,5")
        hands.write(page.locator("#compare-reference"), "JE-1017")
        hands.press(page.get_by_role("button", name="Compare", exact=True))
        expect(page.locator("#compare strong").first).to_contain_text("equal. ✓ Within 0.5 %.")
        rows = page.locator("#compare tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("JE-1017")
        expect(rows.first).to_contain_text("you")

    def book(self, page, hands):
        hands.write(page.locator("#book-reference"), "JE-1017")
        hands.press(page.get_by_role("button", name="Book this file"))
        booking = page.locator("#booking")
        expect(booking).to_contain_text(re.compile(r"Booked .* UTC as JE-1017 by you, version 1\."))
        expect(booking).to_contain_text("The sums of the booked file are those of the present figures.")

    def change(self, page, hands, organization, month, total):
        world.add_usage(organization, f"{MONTH}-30T10:15:00Z", "0.75", 10)
        page.reload()
        expect(page.locator(".note").first).to_contain_text("waits to be counted")
        self.shot(page, f"walk-{hands.name}-waiting")
        world.refresh()
        page.reload()
        note = page.locator("#booking .note").first
        expect(note).to_contain_text(f"{LATE:+} USD")
        shown = page.locator("#booking table").first.locator("tfoot td").all()
        self.assertEqual([digits(cell) for cell in shown], ["+10", "+1200", "0", f"{LATE:+}"])
        self.shot(page, f"walk-{hands.name}-changed")
        hands.press(page.get_by_role("link", name="Months"))
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=MONTH_NAME))
        expect(row).to_contain_text(f"⚠ Changed since booked {LATE:+}")
        self.assertEqual(digits(row.locator("td").first), f"{total + LATE}")
        self.shot(page, f"walk-{hands.name}-overview")
        hands.press(row.get_by_role("link", name="See what changed"))
        expect(page).to_have_url(f"{month}#booking")

    def pack(self, page, hands, organization, job, file):
        page.goto(address(organization, f"/exports/{job}"))
        with page.expect_download() as started:
            hands.press(page.get_by_role("link", name="Download close pack (zip)"))
        saved = world.SHOTS / f"{hands.name}-pack.zip"
        started.value.save_as(saved)
        with zipfile.ZipFile(saved) as pack:
            sums = dict(reversed(line.split("  ")) for line in pack.read("SHA256SUMS").decode().splitlines())
            self.assertEqual({name: hashlib.sha256(pack.read(name)).hexdigest() for name in sums}, sums)
            self.assertEqual(pack.read(next(name for name in sums if name.endswith(".csv"))), file)
        page.reload()
        expect(page.locator("#evidence")).to_contain_text(re.compile(r"Downloaded 2 times, last by you .* UTC\."))
        hands.press(page.get_by_role("link", name="Compare the file with the present figures"))
        expect(page.get_by_role("table", name="File, figures and recorded usage")).to_contain_text("cost_total")
        self.shot(page, f"walk-{hands.name}-file")
        hands.press(page.get_by_role("link", name="Activity"))
        for action in ["requested the file", "downloaded the file", "compared the file with the books", "booked the file"]:
            expect(page.locator("tbody")).to_contain_text(action)
        self.shot(page, f"walk-{hands.name}-activity")

    def sign_out(self, page, hands, month):
        hands.press(page.get_by_role("button", name="Sign out"))
        page.wait_for_url("**/finance/logout")
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
        # The provider's session ends, too, and leads back here.
        page.wait_for_load_state("networkidle")
        page.goto(month)
        self.assertNotEqual(page.url, month, "a page is shown without a session")

    def test_with_the_mouse(self):
        self.close_the_month(world.SEEDS["walks"][0], Mouse())

    def test_by_keyboard_alone(self):
        self.close_the_month(world.SEEDS["walks"][1], Keyboard())

    def test_without_scripts(self):
        self.close_the_month(world.SEEDS["walks"][2], Mouse(), java_script_enabled=False)


if __name__ == "__main__":
    unittest.main()
