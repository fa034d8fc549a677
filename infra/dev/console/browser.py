"""Browsers with a visitor who is signed in, and what went wrong in their pages."""

import os
import unittest

from playwright.sync_api import expect, sync_playwright

import world

TIMEOUT_MS = 20_000


class BrowserTest(unittest.TestCase):
    """Tests with a browser of their own. Each ends with a look at the console: an error there, such as a violation of the
    content security policy, fails the test."""

    @classmethod
    def setUpClass(cls):
        cls.playwright = sync_playwright().start()
        # Chromium's sandbox refuses root.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments = [*sandbox, "--disable-dev-shm-usage"]
        cls.chromium = cls.playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        expect.set_options(timeout=TIMEOUT_MS)
        world.SHOTS.mkdir(parents=True, exist_ok=True)

    @classmethod
    def tearDownClass(cls):
        cls.chromium.close()
        cls.playwright.stop()

    def setUp(self):
        self.problems = []
        self.contexts = []

    def tearDown(self):
        for context in self.contexts:
            context.close()
        self.assertEqual(self.problems, [], "the console of a page has errors")

    def context(self, **options):
        """A browser without cookies."""
        context = self.chromium.new_context(accept_downloads=True, **({"locale": "en-GB"} | options))
        context.set_default_timeout(TIMEOUT_MS)
        context.on("console", self.hear)
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.contexts.append(context)
        return context

    def hear(self, message):
        # The browser says of each answer of 400 and more that it is one; the tests look at those themselves.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.problems.append(f"{message.text} at {message.location}")

    def visitor(self, organizations, role="controller", subject="finance.user@example.com", **options):
        """A page of somebody who signs in when the first address is opened."""
        page = self.context(**options).new_page()
        page.visitor = (organizations, role, subject)
        return page

    def open(self, page, url):
        """Opens an address, and signs in where that is asked for."""
        answer = page.goto(url)
        if world.path(page.url) == "/authorize":
            sign_in(page, *page.visitor)
            return None
        return answer

    def shot(self, page, name):
        """Keeps a picture of the whole page."""
        page.screenshot(path=world.SHOTS / f"{name}.png", full_page=True)


def sign_in(page, organizations, role, subject):
    """Fills in the form of the local issuer, which believes it."""
    if isinstance(organizations, str):
        organizations = [organizations]
    page.locator("[name=subject]").fill(subject)
    page.locator("[name=organizations]").fill(" ".join(organizations))
    page.locator("[name=role]").select_option(role)
    page.get_by_role("button").first.click()
    page.wait_for_url(f"{world.URL}/finance**")
