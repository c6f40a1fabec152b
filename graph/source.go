package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"certstate"
	"certstate/edm"
	"certstate/ingest"
	"certstate/odata"
)

// Source is a list of records at a service.
type Source struct {
	*Client
	list     *url.URL
	PageSize int // records to ask for at once; 0: as many as the service gives
}

var sourceNo = indexOf("source")

// RecordSource is the source of a record whose service does not tell its own.
const RecordSource = "graph"

// NewSource takes the URL of a service, or of its list of records with query options.
func NewSource(link string, c *Client) (*Source, error) {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return nil, err
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("%q is not the URL of a service, such as https://graph.microsoft.com", link)
	}
	switch path := strings.ToLower(strings.TrimSuffix(u.Path, "/")); {
	case path == "" || path == "/beta":
		u.Path = "/beta/" + odata.CanonicalPath
	case !strings.HasSuffix(path, "/"+strings.ToLower(odata.CanonicalPath)):
		return nil, fmt.Errorf("%q leads elsewhere: give the URL of the service, such as https://graph.microsoft.com, or of the list, …/beta/%s", link, odata.CanonicalPath)
	}
	return &Source{Client: c, list: u}, nil
}

// Root is the service without a path.
func (s *Source) Root() string { return s.list.Scheme + "://" + s.list.Host }

// List is the list with the query options that were given.
func (s *Source) List() string { return s.list.String() }

// Page is some records.
type Page struct {
	Pieces []ingest.Piece
	Rows   int
	Count  int64  // of all records; -1: it is not said
	Next   string // the link to the page after it; "": there is none
}

// Pages reads page after page, from the link of an earlier one, or from the
// beginning. Rows are numbered from first on. An error is the last of it.
func (s *Source) Pages(ctx context.Context, from string, first int64) iter.Seq2[*Page, error] {
	return func(yield func(*Page, error) bool) {
		p, err := s.begin(ctx, from, first)
		for ; err == nil; p, err = s.page(ctx, p.Next, first) {
			first += int64(p.Rows)
			if !yield(p, nil) || p.Next == "" {
				return
			}
		}
		yield(nil, err)
	}
}

// begin reads the first page. A service that does not know all properties that a
// register has is asked for those that it has.
func (s *Source) begin(ctx context.Context, from string, first int64) (*Page, error) {
	if from != "" {
		return s.page(ctx, from, first)
	}
	if strings.Contains(strings.ReplaceAll(s.list.RawQuery, "%24", "$"), "$select=") {
		return s.page(ctx, s.link(""), first)
	}
	all := selectable(func(string) bool { return true })
	p, err := s.page(ctx, s.link(all), first)
	if refused, ok := errors.AsType[*StatusError](err); !ok || refused.Status != http.StatusBadRequest {
		return p, err
	}
	has, err := s.properties(ctx)
	if err != nil {
		return nil, err
	}
	some := selectable(func(name string) bool { return has[name] })
	if some == selectable(func(name string) bool { return certstate.Defaults.Has(indexOf(name)) }) {
		some = "" // what is returned anyway
	}
	return s.page(ctx, s.link(some), first)
}

func indexOf(name string) int {
	i, _ := certstate.Lookup(name)
	return i
}

// selectable lists the properties that can be taken over and that has knows.
func selectable(has func(name string) bool) string {
	var names []string
	for i := range certstate.Properties {
		if p := &certstate.Properties[i]; !p.Is(certstate.Computed) && has(p.Name) {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, ",")
}

// link is that of the first page.
func (s *Source) link(properties string) string {
	u := *s.list
	add := func(option string) {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += option
	}
	if properties != "" {
		add("$select=" + properties)
	}
	if !strings.Contains(strings.ReplaceAll(u.RawQuery, "%24", "$"), "$count=") {
		add("$count=true")
	}
	return u.String()
}

func (s *Source) page(ctx context.Context, link string, first int64) (*Page, error) {
	header := http.Header{"Accept": {"application/json"}}
	if s.PageSize > 0 {
		header.Set("Prefer", fmt.Sprintf("odata.maxpagesize=%d", s.PageSize))
	}
	var page *odata.Page
	err := s.get(ctx, link, header, func(body []byte) (err error) {
		page, err = odata.DecodePage(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.checkNext(page.Next, link); err != nil {
		return nil, err
	}
	return &Page{Pieces: pieces(page, first), Rows: len(page.Values), Count: page.Count, Next: page.Next}, nil
}

// checkNext refuses a link that must not be followed.
func (s *Source) checkNext(next, link string) error {
	u, err := url.Parse(next)
	switch {
	case next == "":
		return nil
	case err != nil:
		return fmt.Errorf("the link to the next page: %w", err)
	case u.Scheme != s.list.Scheme || !strings.EqualFold(u.Host, s.list.Host):
		return fmt.Errorf("the next page is at %s://%s, which the token is not sent to: give its URL instead of %s", u.Scheme, u.Host, s.Root())
	case next == link:
		return errors.New("the link to the next page leads to the page itself")
	}
	return nil
}

// pieceRecords is how many records are decoded together.
const pieceRecords = 100

// pieces cuts a page into pieces.
func pieces(p *odata.Page, first int64) (list []ingest.Piece) {
	for from := 0; from < len(p.Values); from += pieceRecords {
		values := p.Values[from:min(from+pieceRecords, len(p.Values))]
		list = append(list, func() []ingest.Row {
			rows := make([]ingest.Row, len(values))
			for i, v := range values {
				rows[i] = rowOf(v)
				rows[i].Place = fmt.Sprintf("record %d", first+int64(from+i)+1)
			}
			return rows
		})
	}
	return list
}

func rowOf(value []byte) (row ingest.Row) {
	body, err := odata.DecodeRecord(value)
	switch {
	case err != nil:
		row.Err = err
	case !body.State.ID.Valid:
		row.Err = &ingest.Fault{Column: "id", Reason: "the record has none", Cure: "a $select of your own must have id in it"}
	default:
		row.State, row.Set = &body.State, body.Sent
		if !body.Sent.Has(sourceNo) {
			row.State.Source = edm.Str(RecordSource)
		}
	}
	return row
}
