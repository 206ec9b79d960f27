"""The console as an operator sees it: a guarded dockerd, the plugin, and a real browser.

With ``SCREENSHOTS=1``, the pictures of docs/how-to/console are made anew; they show the host's name
and paths as those of an example.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect
from ruamel.yaml import YAML

from tests.harness.browser import accessibility_faults, running_browser
from tests.harness.client import call
from tests.harness.dockerd import IMAGE, Dockerd, scratch_dockerd
from tests.harness.engines import NEWEST, prepare
from tests.harness.plugin import Plugin, running_plugin, wait_for
from tests.harness.prometheus import free_port
from tests.real.conftest import guard_with, prepare_content

PICTURES: Final = Path(__file__).parents[2] / "docs/how-to/console"
NAME: Final = f"opa-authz-{os.getpid()}-watched"
HOSTILE: Final = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
_LINK: Final = re.compile(r"http://127\.0\.0\.1:\d+/enter\?token=\S+")
_NAMED: Final = ["unshare", "--uts", "sh", "-c", 'hostname docker-1.example.com; exec "$@"', "sh"]
"""Runs a command on a host of this name."""

_REPLACE: Final = """([before, after]) => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        texts.currentNode.data = texts.currentNode.data.replaceAll(before, after);
    }
}"""
_SETTINGS: Final = """\
profile: production
server: {{socket: {socket}}}
metrics: {{listen: "{metrics}"}}
audit: {{file: {audit}, inputs: true}}
data_root: {data_root}
capabilities: {{allow: [NET_BIND_SERVICE]}}
exceptions:
  - rule: capabilities.add
    value: SYS_PTRACE
    when: {{image: "registry.example.com/exporter:*"}}
    reason: profiles programs until OPS-412 is done
    expires: {expires}
"""


@dataclass
class Site:
    """A guarded host, its console, and a browser."""

    dockerd: Dockerd
    plugin: Plugin
    settings: Path
    console: subprocess.Popen[bytes]
    console_log: Path
    browser: Browser
    home: str

    def run(self, *options: str) -> str:
        """What ``docker run`` says of a command that ends at once."""
        return self.dockerd.docker("run", "--rm", *options, IMAGE, "true", check=False).stderr

    def page(self, path: str = "", width: int = 1280, scheme: str = "light") -> Page:
        """A view in a tab of its own."""
        [session] = self.browser.contexts[-1:]
        page = session.new_page()
        page.set_viewport_size({"width": width, "height": 720})
        self.show_as(page, scheme)
        page.goto(self.home + path)
        return page

    def show_as(self, page: Page, scheme: str) -> None:
        """Have a page in light or dark colours."""
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="opa-authz-")))
        dockerd = cleanup.enter_context(scratch_dockerd(prepare(NEWEST)))
        settings, audit = folder / "config.yaml", folder / "audit.jsonl"
        expires = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 12 * 86400))
        metrics = f"127.0.0.1:{free_port()}"
        socket = Path(f"/run/docker/plugins/{NAME}.sock")
        settings.write_text(
            _SETTINGS.format(
                socket=socket,
                audit=audit,
                data_root=dockerd.data_root,
                expires=expires,
                metrics=metrics,
            )
        )
        plugin = cleanup.enter_context(
            running_plugin(
                folder,
                f"--config={settings}",
                socket_=socket,
                environment={"OPA_AUTHZ_METRICS_LISTEN": metrics},
            )
        )
        prepare_content(dockerd)
        guard_with(dockerd, NAME)
        log = folder / "console.log"
        console = cleanup.enter_context(_started_console(log, settings))
        browser = cleanup.enter_context(running_browser(folder))
        yield Site(dockerd, plugin, settings, console, log, browser, _entered(browser, log))


@pytest.fixture(autouse=True)
def _tabs_closed(site: Site) -> Iterator[None]:
    """Close what a test leaves open: a tab goes on showing decisions, and takes time for each."""
    yield
    for context in site.browser.contexts:
        for page in context.pages:
            page.close()


@contextmanager
def _started_console(log: Path, settings: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A console whose output goes to a file."""
    program = Path(sys.executable).with_name("opa-authz")
    command = [str(program), "console", f"--config={settings}", "--listen=127.0.0.1:0", *options]
    with log.open("wb") as output:
        console = subprocess.Popen([*_NAMED, *command], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield console
    finally:
        console.terminate()
        console.wait(20)


def _entered(browser: Browser, log: Path) -> str:
    """Open the link that a console printed, in a new session; return the console's origin."""
    wait_for(lambda: _LINK.search(log.read_text()), "the link", 20)
    link = _LINK.search(log.read_text())
    assert link is not None
    tab = browser.new_context().new_page()
    tab.goto(link[0])
    expect(tab.locator("#live")).to_be_visible()
    tab.close()
    return link[0].partition("/enter")[0]


def test_a_denied_run_is_on_the_page_within_a_second(site: Site) -> None:
    page = site.page()
    expect(page.get_by_role("status").first).to_have_text("Live.")
    before = page.locator("tr.is-deny").count()
    assert "[privileged.container" in site.run("--privileged")
    denied = time.monotonic()
    row = page.locator("tr.is-deny").first
    expect(page.locator("tr.is-deny")).to_have_count(before + 1, timeout=1000)
    assert time.monotonic() - denied < 1
    expect(row).to_contain_text("container.create")
    expect(row).to_contain_text("privileged.container")


def test_an_allowed_run_is_shown_with_what_dockerd_made_of_it(site: Site) -> None:
    page = site.page("/?verdict=allow&operation=container.create")
    site.run("--name", "shown")
    expect(page.locator("tr.is-allow").first).to_contain_text("201")
    expect(page.locator("tr.is-deny")).to_have_count(0)


def test_what_it_says_of_a_denial_is_right_and_its_change_allows_the_run(site: Site) -> None:
    page = site.page("/?rule=sysctls.*")
    command = ["--sysctl", "net.core.somaxconn=1024"]
    told = site.run(*command)
    decision = re.search(r"decision ([0-9a-f]{16})", told)
    assert decision is not None, told
    page.get_by_role("link", name=decision[1]).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("container.create")
    reason = page.locator("article.reason").first
    expect(reason).to_contain_text("net.core.somaxconn")
    reason.locator("summary").click()
    expect(reason.locator("pre.rego")).to_contain_text("denials contains denial.of(")

    grants = page.locator("fieldset.withheld input")
    for box in grants.all():
        box.check()
    if grants.count():
        page.get_by_role("button", name="Show it").click()
    change = YAML().load(page.locator("section > form pre").first.inner_text())
    page.get_by_role("button", name="Which decisions of the last day would it change?").click()
    expect(page.locator("#turned")).to_contain_text("container.create")

    former = site.settings.read_text()
    settings = YAML().load(former)
    for section, value in change.items():
        settings[section] = {**settings.get(section, {}), **value}
    YAML().dump(settings, site.settings)
    try:
        page = site.page("/try")
        page.locator("textarea[name=line]").fill(f"docker run --rm {' '.join(command)} {IMAGE}")
        page.get_by_role("button", name="Try it").first.click()
        expect(page.locator("#answer")).to_contain_text("allow")
        expect(page.locator("#answer")).to_contain_text("No rule denies it.")
        site.plugin.reload()
        assert "authorization denied" not in site.run(*command)
    finally:
        site.settings.write_text(former)
        site.plugin.reload()


def test_an_exception_that_the_page_writes_is_in_force_at_once(site: Site) -> None:
    former = site.settings.read_text()
    told = site.run("--sysctl", "net.core.somaxconn=4096")
    decision = re.search(r"decision ([0-9a-f]{16})", told)
    assert decision is not None, told
    log = site.console_log.with_name("writer.log")
    try:
        with _started_console(log, site.settings, "--write"):
            home = _entered(site.browser, log)
            page = site.browser.contexts[-1].new_page()
            page.goto(f"{home}/decision/{decision[1]}")
            page.get_by_role("link", name="Add an exception").click()
            page.locator("input[name=choice]").first.check()
            for box in page.locator("input[name=accept]").all():
                box.check()
            page.locator("input[name=reason]").fill("until OPS-413 is done")
            page.get_by_role("button", name="Write it").click()
            expect(page.locator("main")).to_contain_text("The plugin decides by it.")
            assert "authorization denied" not in site.run("--sysctl", "net.core.somaxconn=4096")
            page.context.close()
    finally:
        site.settings.write_text(former)
        site.plugin.reload()


def test_a_trial_reaches_no_daemon(site: Site) -> None:
    page = site.page("/try")
    decisions = len(site.plugin.records())
    page.locator("textarea[name=line]").fill(f"docker run --privileged {IMAGE}")
    page.get_by_role("button", name="Try it").first.click()
    expect(page.locator("#answer")).to_contain_text("privileged.container")
    page.locator("input[name=path]").fill("/v1.44/containers/create")
    page.locator("select[name=method]").select_option("POST")
    page.locator("textarea[name=body]").fill('{"Image": "x", "HostConfig": {"PidMode": "host"}}')
    page.get_by_role("button", name="Try it").last.click()
    expect(page.locator("#answer")).to_contain_text("namespaces.host")
    assert len(site.plugin.records()) == decisions


def test_nothing_of_a_request_becomes_markup_or_script(site: Site) -> None:
    page = site.page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    title = page.title()
    expect(page.get_by_role("status").first).to_have_text("Live.")
    site.run(
        "--privileged", "--label", f"note={HOSTILE}", "--env", f"A={HOSTILE}", "-v", "/<b>x:/y"
    )
    body = b'{"Image": "<i>x</i>", "HostConfig": {"Privileged": true}, "Labels": {"<u>a": "<u>"}}'
    headers = {"Content-Type": "application/json"}
    for path in ("/v1.44/containers/create?name=<b>bold</b>", "/v1.44/volumes/<script>1</script>"):
        target = path.replace("<", "%3C").replace(">", "%3E")
        call(site.dockerd.socket, "POST", target, headers, body)
    expect(page.locator("tr.is-deny").first).to_be_visible()
    page.wait_for_timeout(600)
    links = page.locator("tr.is-deny a")
    for address in [str(link.get_attribute("href")) for link in links.all()][:4]:
        page.goto(site.home + address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.locator("main :is(img, script, i, u)").count() == 0
    page.goto(site.home)
    assert page.locator("main :is(img, script, i, u)").count() == 0
    assert page.title() == title
    assert faults == []


@pytest.mark.parametrize("width", [400, 1280, 3840])
def test_each_view_is_accessible_and_fits_its_window(site: Site, width: int) -> None:
    page = site.page(width=width)
    decision = str(page.locator("tr.is-deny a").first.get_attribute("href"))
    for path in ("/", decision, "/try", "/policy"):
        page.goto(site.home + path)
        for scheme in ("light", "dark"):
            site.show_as(page, scheme)
            assert accessibility_faults(page) == [], (path, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, scheme)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_docs_show_each_view(site: Site, width: int, scheme: str) -> None:
    for options in (["--name", "web"], ["--privileged"], ["--volume", "/etc:/host"]):
        site.run(*options)
    denied = site.run("--name", "db", "--sysctl", "net.core.somaxconn=1024")
    decision = re.search(r"decision ([0-9a-f]{16})", denied)
    assert decision is not None
    page = site.page("/?operation=container.*", width, scheme)
    expect(page.get_by_role("status").first).to_have_text("Live.")
    _picture(site, page, f"live-{width}")
    page.goto(f"{site.home}/decision/{decision[1]}")
    page.locator("article.reason summary").first.click()
    _picture(site, page, f"decision-{width}")
    page.goto(f"{site.home}/try")
    page.locator("textarea[name=line]").fill("docker run --rm -v /srv/data:/data alpine:3 sh")
    page.get_by_role("button", name="Try it").first.click()
    expect(page.locator("#answer h2")).to_be_visible()
    _picture(site, page, f"try-{width}")
    page.goto(f"{site.home}/policy")
    expect(page.locator("main")).to_contain_text("in force since")
    _picture(site, page, f"policy-{width}")


def _picture(site: Site, page: Page, name: str) -> None:
    """Make a picture of the docs anew, if it is wanted; see that the docs have it."""
    folder = str(site.settings.parent)
    page.evaluate(_REPLACE, [folder, "/etc/opa-authz"])
    if os.environ.get("SCREENSHOTS"):
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}.png")
    assert (PICTURES / f"{name}.png").is_file()
    assert f"console/{name}.png" in PICTURES.with_suffix(".md").read_text()


def test_the_views_are_reached_by_keys(site: Site) -> None:
    page = site.page()
    page.keyboard.press("j")
    expect(page.locator("tr.chosen a")).to_be_focused()
    page.keyboard.press("p")
    expect(page.get_by_role("status").first).to_contain_text("Paused.")
    page.keyboard.press("/")
    page.keyboard.type("privileged")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page).to_have_url(f"{site.home}/try")


def test_the_link_is_good_once(site: Site) -> None:
    link = _LINK.search(site.console_log.read_text())
    assert link is not None
    stranger = site.browser.new_context().new_page()
    stranger.goto(link[0])
    expect(stranger.locator("body")).to_contain_text("good once")
    stranger.goto(site.home)
    expect(stranger.locator("body")).to_contain_text("Open the link")
    stranger.context.close()


def test_the_plugin_does_not_notice_that_a_console_is_killed(site: Site) -> None:
    site.console.kill()
    assert "authorization denied" in site.run("--privileged")
    assert site.dockerd.docker("ps", check=False).returncode == 0
    assert '"level":"error"' not in site.plugin.log
