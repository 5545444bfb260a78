package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
	"github.com/walkd/walkd/internal/simulate/healthsim"
)

// pagePassword opens the pages of a browser's daemon.
const pagePassword = "eight and more words"

// lanName is how a browser calls the daemon as if it were on another machine: without https, and not by a loopback name.
const lanName = "walkd.test"

// A browser is a Chromium with one tab.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	odd  []string // what it was asked for elsewhere, and what its policies have stopped
	asks int      // requests
}

// hear notes what a page should not do.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.asks++
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Hostname() != "127.0.0.1" && u.Hostname() != lanName {
			b.odd = append(b.odd, "asks for "+e.Request.URL)
		}
	case *cdplog.EventEntryAdded:
		// That an answer is an error is said too, and is looked at elsewhere.
		if e.Entry.Source != cdplog.EntrySourceNetwork {
			b.odd = append(b.odd, fmt.Sprintf("%s says %s", e.Entry.URL, e.Entry.Text))
		}
	}
}

// newBrowser starts a Chromium with a window of some width.
func newBrowser(t *testing.T, width int64) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	switch {
	case path == "" && os.Getenv("CI") == "true":
		t.Fatal("no Chromium: install the package chromium")
	case path == "":
		t.Skip("SKIPPED: no Chromium, so nobody looks at the pages: install the package chromium")
	}
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("host-resolver-rules", "MAP "+lanName+" 127.0.0.1"))
	ctx, end := chromedp.NewContext(alloc)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		end()
		endAlloc()
		if len(b.odd) > 0 || b.asks == 0 {
			t.Errorf("%d requests, and %q", b.asks, b.odd)
		}
	})
	if err := chromedp.Do(ctx); err != nil { // starts it, for as long as the test
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(width, 800))
	return b
}

// do does something in the tab, within half a minute.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
		b.t.Fatalf("%v at %s", err, text)
	}
}

func (b *browser) evaluate(expression string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// sees waits until the page has all of some texts.
func (b *browser) sees(texts ...string) {
	b.t.Helper()
	shown, missing := "", ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		// Between two pages there is nothing to evaluate it in.
		if shown, err = chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body?.innerText ?? ""`)); err != nil {
			continue
		}
		i := slices.IndexFunc(texts, func(text string) bool { return !strings.Contains(shown, text) })
		if i < 0 {
			return
		}
		missing = texts[i]
	}
	b.t.Fatalf("%q does not appear at %s in\n%s", missing, b.evaluate("location.href"), shown)
}

// reload loads the page again, unless it does so by itself just then.
func (b *browser) reload() { _ = chromedp.Do(b.ctx, chromedp.Reload()) }

// press presses a button or follows a link with a text.
func (b *browser) press(text string) {
	b.t.Helper()
	b.do(chromedp.Click(fmt.Sprintf("//main//*[self::button or self::a][starts-with(normalize-space(.), %q)]", text), chromedp.NodeVisible))
}

// picture keeps a picture of the whole page if somebody wants to look at it, in the folder $WALKD_PICTURES.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("WALKD_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// accessible checks what everybody needs who does not see or has no mouse.
func (b *browser) accessible() {
	b.t.Helper()
	var found []string
	if err := json.Unmarshal([]byte(b.evaluate(`JSON.stringify([
		...[...document.querySelectorAll("input:not([type=hidden]):not([hidden])")].filter(e => !e.labels.length).map(e => "no label: " + e.name),
		...[...document.querySelectorAll("button, a")].filter(e => !e.textContent.trim()).map(e => "no text: " + e.outerHTML),
		...[...document.querySelectorAll("[tabindex]")].map(e => "a tabindex: " + e.outerHTML),
		...(document.documentElement.lang ? [] : ["no language"]),
		...(document.title ? [] : ["no title"]),
		...(document.querySelectorAll("h1").length ? [] : ["no heading"]),
		...(document.documentElement.scrollWidth > innerWidth ? ["wider than the window"] : []),
	])`)), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, what := range found {
		b.t.Errorf("%s: %s", b.evaluate("location.pathname"), what)
	}
	// The key Tab goes through all there is, in the order in which it stands on the page.
	const reachable = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]):not([hidden]), summary")].filter(e => e.checkVisibility({contentVisibilityAuto: true}))`
	b.evaluate(`document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute("tabindex"), ""`)
	var want, got []string
	if err := json.Unmarshal([]byte(b.evaluate("JSON.stringify("+reachable+".map(e => e.outerHTML))")), &want); err != nil {
		b.t.Fatal(err)
	}
	for range want {
		b.do(chromedp.KeyEvent(kb.Tab))
		got = append(got, b.evaluate("document.activeElement.outerHTML"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s: Tab goes by (-want +got):\n%s", b.evaluate("location.pathname"), diff)
	}
}

// login logs in at a page that asks for it.
func (b *browser) login(password string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#password"), password, chromedp.NodeVisible))
	b.press("Log in")
}

// TestBrowser connects two people's watches with a real browser: one that the provider sends back to the daemon, and one
// on a phone, whose browser ends at an address that it cannot reach.
func TestBrowser(t *testing.T) {
	t.Parallel()
	own, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(own, ":")
	callback := "http://" + own + "/oauth/callback"
	var elsewhere string
	w := newWorld(t, slowDay, 6, func(o *healthsim.Options) {
		o.Consent = ""
		elsewhere = o.RedirectURLs[0]
		o.RedirectURLs = append(o.RedirectURLs, callback)
	}, "alexandra", "bo")
	w.web = fmt.Sprintf("listen = %q\npassword = %q\n", own, pagePassword)
	w.redirects = map[string]string{"alexandra": callback}
	w.configure()
	base, stop := w.start()

	t.Run("desktop", func(t *testing.T) {
		b := newBrowser(t, 1200)
		b.do(chromedp.Navigate(base + "/"))
		b.sees("Password")
		b.accessible()
		b.picture("desktop-login")
		b.login("not the password")
		b.sees("That is not the password.")
		b.login(pagePassword)
		b.sees("alexandra", "bo", "Google Health needs your consent.", "Until you give it, nothing new comes in from watch.")
		b.accessible()
		b.picture("desktop-status")
		b.press("Connect")
		b.sees("Connect Google Health", "Your browser then comes back here by itself.")
		b.accessible()
		b.picture("desktop-connect")
		b.press("Open the page of Google Health")
		b.sees("An application wants to read")
		b.do(chromedp.Click("//button[.='Refuse']"))
		b.sees("Not connected", "You refused Google Health the consent")
		b.picture("desktop-refused")
		b.press("Try again")
		b.press("Begin")
		b.press("Open the page of Google Health")
		b.sees("An application wants to read")
		b.do(chromedp.SetValue(chromedp.CSS("select"), "alexandra"), chromedp.Click("//button[.='Allow']"))
		b.sees("Google Health is connected", "walkd reads it as watch of alexandra from now on")
		b.accessible()
		b.picture("desktop-connected")
		b.press("Back to your days") // with the session, which the provider's redirect came without
		b.sees("alexandra", "Log out")
		w.eventually(func() error {
			b.reload()
			if text := b.evaluate(`document.body?.innerText ?? ""`); !strings.Contains(text, "✓ ok") || !strings.Contains(text, "steps") {
				return fmt.Errorf("no data comes in: %s", text)
			}
			return nil
		})
		b.picture("desktop-days")
		b.press("Log out")
		b.sees("Password")
		b.do(chromedp.Navigate(base + "/"))
		b.sees("Password")
	})
	t.Run("phone", func(t *testing.T) {
		b := newBrowser(t, 390)
		b.do(chromedp.Navigate("http://" + lanName + ":" + port + "/connect/bo/watch"))
		b.login(pagePassword)
		b.sees("Connect Google Health", "needs your consent for that")
		b.accessible()
		b.press("Begin")
		b.sees("Your browser then ends at an address that begins with " + elsewhere)
		b.accessible()
		b.picture("phone-connect")
		tab := chromedp.WaitNewTarget(b.ctx, func(*target.Info) bool { return true })
		b.press("Open the page of Google Health")
		ctx, closeTab := chromedp.NewContext(b.ctx, chromedp.WithTargetID(<-tab))
		defer closeTab()
		other := &browser{t: t, ctx: ctx}
		other.sees("An application wants to read")
		other.do(chromedp.SetValue(chromedp.CSS("select"), "bo"), chromedp.Click("//button[.='Allow']"))
		ended := ""
		w.eventually(func() error {
			h, err := chromedp.Run(ctx, chromedp.NavigationEntries())
			if err != nil {
				return err
			}
			if ended = h.Entries[h.CurrentIndex].URL; !strings.HasPrefix(ended, elsewhere) {
				return fmt.Errorf("the browser is at %s", ended)
			}
			return nil
		})
		b.do(chromedp.SendKeys(chromedp.CSS("#address"), "https://health.google/"))
		b.press("Connect")
		b.sees("The address holds no state: paste all of it")
		b.picture("phone-mistake")
		b.do(chromedp.SendKeys(chromedp.CSS("#address"), ended))
		b.press("Connect")
		b.sees("Google Health is connected", "walkd reads it as watch of bo from now on")
		b.accessible()
		b.picture("phone-connected")
		b.reload() // which sends nothing twice
		b.sees("Google Health is connected")
		b.press("Back to your days")
		b.sees("Log out")
		w.eventually(func() error {
			b.reload()
			if text := b.evaluate(`document.body?.innerText ?? ""`); strings.Count(text, "✓ ok") != 2 {
				return fmt.Errorf("no data comes in: %s", text)
			}
			return nil
		})
		b.accessible()
		b.picture("phone-days")
	})
	if code, log := stop(); code != exitDone || strings.Contains(log, "level=ERROR") || leaked(log, append(w.Secrets(), pagePassword)) != "" {
		t.Errorf("exit code %d, log:\n%s", code, log)
	}
}
