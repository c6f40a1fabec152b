package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/graph"
	"certstate/ingest"
	"certstate/odata"
)

const list = "/beta/" + odata.CanonicalPath

// serve is a service that answers as fn does, which is told how often it was asked
// before.
func serve(t *testing.T, fn func(n int, w http.ResponseWriter, r *http.Request)) *graph.Source {
	t.Helper()
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fn(int(asked.Add(1))-1, w, r)
	}))
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s, err := graph.NewSource(srv.URL, &graph.Client{HTTP: client, Patience: time.Minute, Pause: 10 * time.Millisecond, Token: func(_ context.Context, fresh bool) (string, error) {
		return fmt.Sprint("token ", fresh), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read is all of a source.
func read(t *testing.T, s *graph.Source) (rows []ingest.Row, pages int, err error) {
	t.Helper()
	for p, err := range s.Pages(t.Context(), "", 0) {
		if err != nil {
			return rows, pages, err
		}
		pages++
		for _, piece := range p.Pieces {
			rows = append(rows, piece()...)
		}
	}
	return rows, pages, nil
}

// page answers with a page of records.
func page(w io.Writer, next string, values ...string) {
	fmt.Fprintf(w, `{"@odata.context":"x","@odata.count":7,"@odata.nextLink":%q,"value":[%s]}`, next, strings.Join(values, ","))
}

func record(id string) string { return fmt.Sprintf(`{"id":%q,"certificateRevokeStatus":"none"}`, id) }

// A service that says to wait, fails, cuts connections and refuses a token gives all
// pages all the same, each once.
func TestTroubles(t *testing.T) {
	began := time.Now()
	var asked []time.Time
	s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		asked = append(asked, time.Now())
		next := "http://" + r.Host + list + "?$skiptoken="
		switch n {
		case 0:
			w.Header().Set("Retry-After", "0.3")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"error":{"code":"TooManyRequests","message":"Too many."}}`)
		case 1:
			w.Header().Set("Retry-After", time.Now().Add(1100*time.Millisecond).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusGatewayTimeout)
		case 3: // cut in the middle
			c, b, _ := w.(http.Hijacker).Hijack()
			_, _ = b.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"value\":[" + record("cut"))
			_ = b.Flush()
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		case 4: // whole, and yet cut
			_, _ = io.WriteString(w, `{"value":[`+record("cut"))
		case 5:
			if r.Header.Get("Authorization") != "Bearer token false" {
				t.Errorf("the first token: %s", r.Header)
			}
			w.WriteHeader(http.StatusUnauthorized)
		case 6:
			if r.Header.Get("Authorization") != "Bearer token true" {
				t.Errorf("after it was refused: %s", r.Header)
			}
			page(w, next+"2", record("a"), record("b"))
		case 7:
			page(w, next+"3")
		default:
			page(w, "", record("c"))
		}
	})
	rows, pages, err := read(t, s)
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.State.ID.S)
	}
	if err != nil || !slices.Equal(ids, []string{"a", "b", "c"}) || pages != 3 || rows[2].Place != "record 3" {
		t.Errorf("%v on %d pages, %v: %+v", ids, pages, err, rows)
	}
	if wait := asked[1].Sub(began); wait < 300*time.Millisecond {
		t.Errorf("asked again after %s, and not the 300 ms the service said", wait)
	}
	if wait := asked[2].Sub(asked[1]); wait < 100*time.Millisecond || wait > 5*time.Second {
		t.Errorf("asked again after %s, and not at the date the service said", wait)
	}
}

// What asking again cannot change is said as the service says it.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		want   string
	}{
		{"Intune's message", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"error":{"code":"Forbidden","message":"{\r\n  \"_version\": 3,\r\n  \"Message\": \"Application is not authorized\"}"}}`)
		}, "403 Forbidden: Application is not authorized: the application needs DeviceManagementConfiguration.Read.All"},
		{"a token that is refused twice", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401 Unauthorized: the token is not accepted"},
		{"another host", func(w http.ResponseWriter, _ *http.Request) { page(w, "https://elsewhere.example/beta", record("a")) }, "the next page is at https://elsewhere.example, which the token is not sent to"},
		{"another scheme", func(w http.ResponseWriter, r *http.Request) { page(w, "https://"+r.Host+"/beta", record("a")) }, "which the token is not sent to"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		}, "302 Found"},
		{"the page itself", func(w http.ResponseWriter, r *http.Request) { page(w, "http://"+r.Host+r.RequestURI, record("a")) }, "leads to the page itself"},
		{"no page", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>`) }, "asked 3 times"},
		{"no list", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }, "It is no page of a list"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { c.answer(w, r) })
			rows, _, err := read(t, s)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(rows) > 0 {
				t.Errorf("%d rows, %v, want %s", len(rows), err, c.want)
			}
		})
	}
}

// A service that stays away is given up after the time there is for it, and so is one
// that asks for more time.
func TestPatience(t *testing.T) {
	for _, after := range []string{"", "3600"} {
		s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		s.Patience = 100 * time.Millisecond
		_, _, err := read(t, s)
		if refused := (*graph.StatusError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "times in 0s") {
			t.Errorf("%v", err)
		}
	}
}

const csdl = `<edmx:Edmx><Schema Namespace="microsoft.graph"><EntityType Name="entity" Abstract="true"><Property Name="id"/></EntityType>
<EntityType Name="other"><Property Name="userId"/></EntityType>
<EntityType Name="managedAllDeviceCertificateState" BaseType="graph.entity">%s</EntityType></Schema></edmx:Edmx>`

// A register is asked for all it has; one that has less, and Graph, for what they have.
func TestSelect(t *testing.T) {
	var defaults []string
	for i := range certstate.Properties {
		if certstate.Defaults.Has(i) {
			defaults = append(defaults, certstate.Properties[i].Name)
		}
	}
	for _, c := range []struct {
		name   string
		has    []string
		second string // $select of the second request for the list
	}{
		{"Graph", defaults, ""},
		{"an old register", append(slices.Clone(defaults), "deviceId", "source"), strings.Join(append(slices.Clone(defaults), "deviceId", "source"), ",")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var selects []string
			s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "$metadata") {
					fmt.Fprintf(w, csdl, `<Property Name="`+strings.Join(c.has[1:], `"/><Property Name="`)+`"/>`)
					return
				}
				selected := r.URL.Query().Get("$select")
				selects = append(selects, selected)
				if strings.Contains(selected, "certificate,") || strings.HasSuffix(selected, ",certificate") {
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"error":{"code":"BadRequest","message":"Could not find a property named 'certificate'."}}`)
					return
				}
				if r.URL.Query().Get("$count") != "true" || r.Header.Get("Prefer") != "odata.maxpagesize=5" {
					t.Errorf("%s %s", r.URL, r.Header)
				}
				page(w, "", record("a"))
			})
			s.PageSize = 5
			rows, _, err := read(t, s)
			if err != nil || len(rows) != 1 || len(selects) != 2 || selects[1] != c.second {
				t.Errorf("%d rows, %v, %q", len(rows), err, selects)
			}
		})
	}
}

// A record is read as Graph writes it; what is unknown is passed over, and one that
// cannot be read leaves the others.
func TestRecords(t *testing.T) {
	s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		page(w, "",
			`{"@odata.type":"#microsoft.graph.managedAllDeviceCertificateState","@odata.etag":"W/\"1\"","id":"g_1","certificateRevokeStatus":"none",
			"certificateRevokeStatusLastChangeDateTime":"0001-01-01T00:00:00Z","certificateExpirationDateTime":"2017-01-01T00:02:14.9489247-08:00",
			"userPrincipalName":null,"certificateKeyUsages":160,"somethingNew":{"a":[1]},"somethingNew@odata.type":"#x"}`,
			`{"id":"b","certificateRevokeStatus":"lost"}`, `{"certificateRevokeStatus":"none"}`, `{"id":"d","source":"mine","certificateSerialNumber":"0A"}`)
	})
	rows, _, err := read(t, s)
	if err != nil || len(rows) != 4 {
		t.Fatal(rows, err)
	}
	want := certstate.State{ID: edm.Str("g_1"), KeyUsages: edm.Int(160), Source: edm.Str(graph.RecordSource)}
	_ = want.NotAfter.SetJSON(edm.Scalar{Kind: '"', Text: "2017-01-01T00:02:14.9489247-08:00"})
	if rows[0].Err != nil || *rows[0].State != want {
		t.Errorf("%v\n%+v\nwant %+v", rows[0].Err, rows[0].State, want)
	}
	if rows[0].Set.Has(17) {
		t.Error("the source is said to be stated")
	}
	if rows[1].Err == nil || rows[2].Err == nil || rows[1].Place != "record 2" {
		t.Errorf("%+v\n%+v", rows[1], rows[2])
	}
	if rows[3].Err != nil || rows[3].State.Source.S != "mine" {
		t.Errorf("%+v", rows[3])
	}
}

// Only services and their lists are sources.
func TestNewSource(t *testing.T) {
	for link, want := range map[string]string{
		"https://graph.microsoft.com":                      "https://graph.microsoft.com" + list,
		"https://graph.microsoft.com/beta/":                "https://graph.microsoft.com" + list,
		"https://h:8443" + list + "?$filter=id%20eq%20'x'": "https://h:8443" + list + "?$filter=id%20eq%20'x'",
		"graph.microsoft.com":                              "",
		"https://u:p@h":                                    "",
		"https://h/v1.0/users":                             "",
	} {
		s, err := graph.NewSource(link, &graph.Client{})
		if got := ""; err == nil {
			if got = s.List(); got != want {
				t.Errorf("%s: %s", link, got)
			}
		} else if want != "" {
			t.Errorf("%s: %v", link, err)
		}
	}
}
