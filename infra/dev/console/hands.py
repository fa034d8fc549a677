"""Two ways to use a page: with the mouse, and with the keyboard alone."""

MAX_TABS = 150


class Mouse:
    """Clicks and types."""

    name = "mouse"

    def press(self, locator):
        locator.click()

    def write(self, locator, text):
        locator.fill(text)

    def choose(self, locator):
        locator.check()


class Keyboard:
    """Reaches everything by Tab, in the order of the page, and sees where it is: what has the focus must be visible."""

    name = "keyboard"

    def reach(self, locator):
        page = locator.page
        for _ in range(MAX_TABS):
            if locator.evaluate("element => element === document.activeElement"):
                outline = locator.evaluate("element => getComputedStyle(element).outlineStyle")
                assert outline != "none", f"the focus on {locator} is invisible"
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{locator} cannot be reached by Tab")

    def press(self, locator):
        self.reach(locator)
        locator.page.keyboard.press("Enter")

    def write(self, locator, text):
        self.reach(locator)
        locator.page.keyboard.press("Control+A")
        locator.page.keyboard.type(text)

    def choose(self, locator):
        # The buttons of a group are one stop: the first is reached, the arrows choose.
        page = locator.page
        group = page.locator("#either input")
        self.reach(group.first)
        page.keyboard.press("Space")
        for _ in range(group.count()):
            if locator.is_checked():
                return
            page.keyboard.press("ArrowDown")
        raise AssertionError(f"{locator} cannot be chosen by the arrows")
