package api

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"certstate"
	"certstate/odata"
	"certstate/store"
)

const (
	// downloadPage is how many bytes are read before they are sent, when nothing
	// is held open in the database.
	downloadPage = 1 << 20
	// maxDownloads bounds those under way, each of which holds a page.
	maxDownloads = 16
	// downloadPatience is how long a client may take to accept a page.
	downloadPatience = time.Minute
)

// tables reports whether what the route answers with can be had as lines, whole.
func (rt *route) tables() bool { return rt.pattern == collection && rt.method == http.MethodGet }

// tableForm is the form of lines that $format or, without it, Accept asks for,
// nil for none.
func (x *exchange) tableForm() (*odata.TableForm, error) {
	if !x.route.tables() {
		return nil, nil //nolint:nilnil // none
	}
	form := odata.AcceptTable(strings.Join(x.r.Header.Values("Accept"), ","))
	if format, given := odata.Format(x.r.URL.RawQuery); given {
		form = odata.TableFormOf(format)
	}
	switch {
	case form == nil:
		return nil, nil //nolint:nilnil // none
	case x.within != "":
		return nil, certstate.Errorf(certstate.NotAcceptable, "$format", "A request of a batch cannot be answered with all records as %s: send it alone.", form.Name)
	case !x.r.ProtoAtLeast(1, 1):
		// Its answers end with the connection: one that was cut would look whole.
		return nil, certstate.Errorf(certstate.NotAcceptable, "$format", "All records as %s are sent over HTTP/1.1 or newer alone, where a client sees whether it got all: have the proxy before the server use it (nginx: proxy_http_version 1.1).", form.Name)
	}
	return form, nil
}

// download answers with every record that the query selects, of one moment, one a
// line. An error before the first page is out is answered as any other; after
// that the connection is cut, so that the client sees that it has not got all.
func (x *exchange) download() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.TableOptions)
	if err != nil {
		return err
	}
	select {
	case x.s.downloads <- struct{}{}:
		defer func() { <-x.s.downloads }()
	default:
		return store.ErrShed
	}
	db := x.s.cfg.Store
	asOf, err := db.Moment(x.r.Context(), x.tenant, &q)
	if err != nil {
		return err
	}
	table := odata.NewTable(x.table, &q)
	d := &download{x: x}
	defer d.release()
	if x.r.Method == http.MethodHead {
		d.begin()
		return nil
	}
	d.page = table.AppendHead(make([]byte, 0, downloadPage+downloadPage/4))
	err = db.Walk(x.r.Context(), x.tenant, &q, x.now(), asOf, func(s *certstate.State) error {
		if d.page = table.Append(d.page, s); len(d.page) >= downloadPage {
			return store.ErrEndPage
		}
		return nil
	}, d.flush)
	if err == nil {
		err = d.finish()
	}
	if err != nil && d.out != nil {
		x.cut(err)
		return nil
	}
	return err
}

// cut has the connection closed in the middle of the answer.
func (x *exchange) cut(err error) {
	x.err, x.code, x.aborted = err, "Aborted", true
	if x.r.Context().Err() != nil {
		x.status, x.code = statusClientGone, "ClientClosedRequest"
	}
}

// download is an answer that is sent page by page.
type download struct {
	x    *exchange
	page []byte
	out  io.Writer    // nil until the first page is sent
	zip  *gzip.Writer // nil if the client takes none
}

// flush sends the page.
func (d *download) flush() error {
	if d.out == nil {
		d.begin()
	}
	err := http.NewResponseController(d.x.w).SetWriteDeadline(time.Now().Add(downloadPatience))
	if err == nil {
		_, err = d.out.Write(d.page)
	}
	d.page = d.page[:0]
	return err
}

// begin sends the headers, once the request has given its turn back.
func (d *download) begin() {
	x := d.x
	x.leave()
	h := x.w.Header()
	h["Content-Type"] = []string{x.table.ContentType()}
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="certificate-states-%s.%s"`, x.s.now().UTC().Format("20060102T150405Z"), x.table.Name))
	h.Set("Vary", "Accept, Accept-Encoding")
	d.out = x.w
	if acceptsGzip(x.r.Header) {
		h.Set("Content-Encoding", "gzip")
		d.zip = gzipWriters.Get().(*gzip.Writer)
		d.zip.Reset(x.w)
		d.out = d.zip
	}
	x.status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
}

func (d *download) finish() error {
	if d.zip == nil {
		return nil
	}
	return d.zip.Close()
}

func (d *download) release() {
	if d.zip != nil {
		gzipWriters.Put(d.zip)
	}
}
