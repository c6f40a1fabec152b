package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"certstate"
	"certstate/auth/authtest"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
	"certstate/store/storetest/load"
)

var pageRows = flag.Int("page-rows", 2000, "records that TestPagesUnderFire pages through, by each order")

// Following nextLinks by each order yields every record that was there
// throughout exactly once, while writers create, change and delete others, and
// change what is not sorted by.
func TestPagesUnderFire(t *testing.T) {
	h := start(t)
	tn, err := h.db.Tenant(t.Context(), authtest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < *pageRows; from += 1000 {
		batch := make([]certstate.State, min(1000, *pageRows-from))
		for i := range batch {
			batch[i] = aliased(from + i)
			batch[i].ID = edm.Str(fmt.Sprint("kept-", from+i))
		}
		load.Records(t, h.db, tn, batch)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range 8 {
		wg.Go(func() { fire(t, h, tn, w, stop) })
	}
	token := h.token("reader")
	for i := range certstate.Properties {
		p := &certstate.Properties[i]
		if p.Name == "lastModifiedDateTime" || p.Name == unsorted || p.Is(certstate.Apart) {
			continue // what the writers change moves
		}
		for _, order := range []string{p.Name, p.Name + " desc", "certificateRevokeStatus," + p.Name + " desc"} {
			seen := map[string]int{}
			link := h.url + "/beta/" + odata.CanonicalPath + "?$select=id&$top=999&$orderby=" + url.PathEscape(order)
			pages := 0
			for link != "" {
				link = readPage(t, link, token, seen)
				pages++
			}
			for n := range *pageRows {
				if got := seen[fmt.Sprint("kept-", n)]; got != 1 {
					t.Fatalf("by %s: record %d seen %d times on %d pages", order, n, got, pages)
				}
			}
		}
	}
	close(stop)
	wg.Wait()
}

// unsorted is the property that the writers change in the kept records.
const unsorted = "certificateExtendedKeyUsages"

// aliased is a record that shares most values with many others, nulls among them.
func aliased(i int) certstate.State {
	s := certstate.State{RevokeStatus: certstate.RevokeStatus(i % 5), NotAfter: edm.DateTimeOffset{Ticks: 638_000_000_000_000_000 + int64(i%50)}}
	for n := range certstate.Properties {
		switch f := certstate.Properties[n].Field(&s).(type) {
		case *edm.String:
			if (i+n)%3 > 0 {
				*f = edm.Str(strings.Repeat("v", (i+n)%3-1) + fmt.Sprint(i/(n+1)%(20*n+1)))
			}
		case *edm.Int32:
			if i%4 > 0 {
				*f = edm.Int(int32(i%7 - 3))
			}
		}
	}
	return s
}

// fire creates, changes and deletes until it is stopped.
func fire(t *testing.T, h *harness, tn store.Tenant, w int, stop chan struct{}) {
	property, _ := certstate.Lookup(unsorted)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		other := aliased(i*8 + w)
		other.ID = edm.Str(fmt.Sprintf("other-%d-%d", w, i))
		_, err1 := h.db.Create(t.Context(), tn, other, certstate.Cause{})
		patch := aliased(i*31 + w)
		_, err2 := h.db.Update(t.Context(), tn, other.ID.S, &patch, certstate.All&^certstate.KeySet, nil, certstate.Cause{})
		patch.ExtendedKeyUsages = edm.Str(fmt.Sprint(i))
		kept := fmt.Sprint("kept-", (i*97+w)%*pageRows)
		_, err3 := h.db.Update(t.Context(), tn, kept, &patch, 1<<property, nil, certstate.Cause{})
		for _, err := range []error{err1, err2, err3} {
			if err != nil {
				t.Error(err)
				return
			}
		}
		if i >= 20 {
			if err := h.db.Delete(t.Context(), tn, fmt.Sprintf("other-%d-%d", w, i-20), nil, certstate.Cause{}); err != nil {
				t.Error(err)
				return
			}
		}
	}
}

// readPage counts the ids of a page and returns its nextLink.
func readPage(t *testing.T, link, token string, seen map[string]int) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", link, res.StatusCode, body, err)
	}
	var page struct {
		Value []struct{ ID string }
		Next  string `json:"@odata.nextLink"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		t.Fatal(err)
	}
	for _, v := range page.Value {
		seen[v.ID]++
	}
	return page.Next
}
