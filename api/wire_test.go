package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"
	"time"

	"certstate/store"
	"certstate/store/storetest"
)

// Wire scripts (testdata/wire/*.wire) are requests and the answers they must
// get, one after another on one register:
//
//	== name of the step
//	> METHOD path              paths begin at the server's root
//	> as: reader               whose token: writer (default), reader, none, …
//	> Header: value
//	>
//	> body
//	< status
//	< Header: value            * matches anything; "Header: -" means absent
//	<
//	< body                     JSON: every member shown must be there and be
//	                           equal, * in a string matches anything, and "-"
//	                           says that the member is absent. Else exact text.
//
// Texts are templates: {{.set}} is the collection's path, {{.id}}, {{.etag}},
// {{.next}}, {{.deltaLink}}, {{.url}}, {{.uploadUrl}} and {{.location}} come from the last answer that had
// them; query cuts a link down to its query; ago is a time before the script
// began.
func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.wire")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	kinds := map[string]func(testing.TB) string{"postgres in partitions": partitioned}
	for _, engine := range storetest.Engines {
		kinds[engine.Name] = engine.URL
	}
	for kind, url := range kinds {
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".wire"), func(t *testing.T) {
				play(t, startOn(t, url(t)), file)
			})
		}
	}
}

// partitioned makes a database whose tables of records are in partitions, as an
// engine would have them that distributes.
func partitioned(t testing.TB) string {
	url := storetest.Postgres(t)
	s, err := store.Open(t.Context(), url, store.Options{})
	if err == nil {
		err = errors.Join(s.Close(), storetest.Partition(t.Context(), url))
	}
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// play sends a script's requests.
func play(t *testing.T, h *harness, file string) {
	w := &wire{h: h, started: time.Now().UTC(), vars: map[string]string{
		"set":  "/beta/deviceManagement/deviceConfigurationsAllManagedDeviceCertificateStates",
		"root": h.url,
	}}
	for _, s := range readSteps(t, file) {
		if !t.Run(s.name, func(t *testing.T) { w.step(t, s) }) {
			return // what follows builds on it
		}
	}
}

type step struct{ name, request, answer string }

func readSteps(t *testing.T, file string) (steps []step) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		text := strings.TrimPrefix(line[min(1, len(line)):], " ") + "\n"
		switch {
		case strings.HasPrefix(line, "== "):
			steps = append(steps, step{name: line[3:]})
		case strings.HasPrefix(line, ">"):
			steps[len(steps)-1].request += text
		case strings.HasPrefix(line, "<"):
			steps[len(steps)-1].answer += text
		case line != "" && line[0] != '#':
			t.Fatalf("%s:%d: not a line of a wire script: %s", file, n, line)
		}
	}
	return steps
}

type wire struct {
	h       *harness
	started time.Time
	vars    map[string]string
}

func (w *wire) expand(t *testing.T, text string) string {
	funcs := template.FuncMap{
		"repeat":  strings.Repeat,
		"replace": strings.ReplaceAll,
		"gzip":    func(s string) string { return string(zip([]byte(s))) },
		"query":   func(link string) string { return link[strings.IndexByte(link, '?'):] },
		"zeros":   func(n int) string { return string(make([]byte, n)) },
		"ago": func(s string) (string, error) { // as an IMF-fixdate
			d, err := time.ParseDuration(s)
			return w.started.Add(-d).Format(http.TimeFormat), err
		},
		"bytes": func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err },
	}
	tpl, err := template.New("").Option("missingkey=error").Funcs(funcs).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := tpl.Execute(&b, w.vars); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	_, _ = zw.Write(b)
	_ = zw.Close()
	return out.Bytes()
}

func (w *wire) step(t *testing.T, s step) {
	res, body := w.send(t, w.expand(t, s.request))
	w.remember(res, body)
	head, want, _ := strings.Cut(w.expand(t, s.answer), "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	if got := fmt.Sprint(res.StatusCode); got != strings.TrimSpace(lines[0]) {
		t.Fatalf("status %s, want %s\n%s", got, lines[0], body)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		checkHeader(t, res.Header, name, strings.TrimSpace(value))
	}
	checkBody(t, body, strings.TrimSuffix(want, "\n"))
	if res.StatusCode >= 400 && len(body) > 0 {
		checkErrorShape(t, res, body)
	}
}

func (w *wire) send(t *testing.T, text string) (*http.Response, []byte) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	u, err := url.Parse(w.h.url)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(target, "http") {
		target = strings.TrimPrefix(target, w.h.url)
	}
	u.Opaque = target // as it stands, however encoded
	body = strings.TrimSuffix(body, "\n")
	req := &http.Request{Method: method, URL: u, Header: http.Header{}, Host: u.Host,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	who := "writer"
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if name == "as" {
			who = strings.TrimSpace(value)
			continue
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	if who != "none" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+w.h.token(who))
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		if got, err = io.ReadAll(zr); err != nil {
			t.Fatal(err)
		}
	}
	return res, got
}

func (w *wire) remember(res *http.Response, body []byte) {
	var m map[string]any
	_ = json.Unmarshal(body, &m)
	for name, member := range map[string]string{"id": "id", "next": "@odata.nextLink", "deltaLink": "@odata.deltaLink", "modified": "lastModifiedDateTime", "url": "url", "uploadUrl": "uploadUrl"} {
		if v, ok := m[member].(string); ok {
			w.vars[name] = v
		}
	}
	for name, header := range map[string]string{"etag": "ETag", "location": "Location"} {
		if v := res.Header.Get(header); v != "" {
			w.vars[name] = v
		}
	}
}

func checkHeader(t *testing.T, h http.Header, name, want string) {
	t.Helper()
	values := h.Values(name)
	switch {
	case want == "-":
		if len(values) > 0 {
			t.Errorf("%s: %q, want none", name, values)
		}
	case len(values) != 1 || !matches(want, values[0]):
		t.Errorf("%s: %q, want %q once", name, values, want)
	}
}

// matches compares with * standing for any text.
func matches(pattern, s string) bool {
	re := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
	return regexp.MustCompile(`(?s)^` + re + `$`).MatchString(s)
}

func checkBody(t *testing.T, got []byte, want string) {
	t.Helper()
	if want == "" {
		return
	}
	var w any
	if want[0] != '{' || json.Unmarshal([]byte(want), &w) != nil {
		if string(got) != want {
			t.Errorf("body %q, want %q", got, want)
		}
		return
	}
	var g any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("body is not JSON: %v\n%s", err, got)
	}
	for _, fault := range compare("", g, w) {
		t.Error(fault)
	}
	if t.Failed() {
		t.Logf("body: %s", got)
	}
}

// compare lists where got is not what want shows.
func compare(at string, got, want any) (faults []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want an object", at, got)}
		}
		for name, v := range w {
			member, there := g[name]
			switch {
			case v == "-":
				if there {
					faults = append(faults, fmt.Sprintf("%s.%s is there", at, name))
				}
			case !there:
				faults = append(faults, fmt.Sprintf("%s.%s is missing", at, name))
			default:
				faults = append(faults, compare(at+"."+name, member, v)...)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %v, want %d items", at, got, len(w))}
		}
		for i := range w {
			faults = append(faults, compare(fmt.Sprintf("%s[%d]", at, i), g[i], w[i])...)
		}
	case string:
		if g, ok := got.(string); !ok || !matches(w, g) {
			faults = append(faults, fmt.Sprintf("%s is %q, want %q", at, got, w))
		}
	default:
		if got != want {
			faults = append(faults, fmt.Sprintf("%s is %v, want %v", at, got, want))
		}
	}
	return faults
}

var errorDate = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`)

// checkErrorShape holds every error to what Microsoft's SDKs need of it.
func checkErrorShape(t *testing.T, res *http.Response, body []byte) {
	t.Helper()
	var e struct {
		Error struct {
			Code, Message *string
			InnerError    map[string]string `json:"innerError"`
		}
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Error.Code == nil || e.Error.Message == nil || *e.Error.Message == "" {
		t.Fatalf("not Graph's error shape (%v): %s", err, body)
	}
	inner := e.Error.InnerError
	if !errorDate.MatchString(inner["date"]) || inner["request-id"] != res.Header.Get("request-id") || inner["client-request-id"] == "" {
		t.Errorf("innerError %v", inner)
	}
	if res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("Content-Type of an error: %s", res.Header.Get("Content-Type"))
	}
	if strings.HasPrefix(*e.Error.Message, "{") && json.Unmarshal([]byte(*e.Error.Message), &map[string]any{}) != nil {
		t.Errorf("message is half JSON: %s", *e.Error.Message)
	}
}
