package api

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

const (
	// downloadPage is how many bytes are read before they are sent, when nothing
	// is held open in the database.
	downloadPage = 1 << 20
	// maxDownloads bounds those under way, each of which holds a page; maxUploads
	// those, each of which holds a piece.
	maxDownloads = 16
	maxUploads   = 16
	// downloadPatience is how long a client may take to accept a page.
	downloadPatience = time.Minute
)

// tables reports whether what the route answers with can be had as lines, whole.
func (rt *route) tables() bool {
	return (rt.pattern == collection || rt.pattern == importRejected) && rt.method == http.MethodGet
}

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
// line.
func (x *exchange) download() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.TableOptions)
	if err != nil {
		return err
	}
	asOf, err := x.s.cfg.Store.Moment(x.r.Context(), x.tenant, &q)
	if err != nil {
		return err
	}
	return x.stream(&q, odata.NewTable(x.table, &q), x.now(), asOf, x.beginLines)
}

// stream answers with the records that a query selects, as they were after a change
// and at a time. An error before the first page is out is answered as any other; after
// that the connection is cut, so that the client sees that it has not got all. begin
// sends the headers, and says where pages go and what ends them.
func (x *exchange) stream(q *odata.Query, table *odata.Table, now edm.DateTimeOffset, asOf int64, begin func() (io.Writer, func() error, error)) error {
	if !x.s.downloads.take(x.tenant.ID) {
		return store.ErrShed
	}
	defer x.s.downloads.give(x.tenant.ID)
	d := &download{x: x, begin: begin}
	if x.r.Method == http.MethodHead {
		_, _, err := begin()
		return err
	}
	d.page = table.AppendHead(make([]byte, 0, downloadPage+downloadPage/4))
	err := x.s.cfg.Store.Walk(x.r.Context(), x.tenant, q, now, asOf, func(s *certstate.State) error {
		if d.page = table.Append(d.page, s); len(d.page) >= downloadPage {
			return store.ErrEndPage
		}
		return nil
	}, d.flush)
	if err == nil {
		d.page = table.AppendTail(d.page)
		err = d.flush()
	}
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
	x      *exchange
	begin  func() (io.Writer, func() error, error)
	page   []byte
	out    io.Writer // nil until the first page is sent
	finish func() error
}

// flush sends the page.
func (d *download) flush() (err error) {
	if d.out == nil {
		if d.out, d.finish, err = d.begin(); err != nil {
			return err
		}
	}
	if err = http.NewResponseController(d.x.w).SetWriteDeadline(time.Now().Add(downloadPatience)); err == nil {
		_, err = d.out.Write(d.page)
	}
	d.page = d.page[:0]
	return err
}

// sendAs sends the headers of a file, once the request has given its turn back.
func (x *exchange) sendAs(mediaType, name string) {
	x.leave()
	h := x.w.Header()
	x.contentType(mediaType)
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s"`, name))
	x.status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
}

// beginLines begins a file of lines, compressed if the client takes that.
func (x *exchange) beginLines() (io.Writer, func() error, error) {
	name := fmt.Sprintf("certificate-states-%s.%s", x.s.now().UTC().Format("20060102T150405Z"), x.table.Name)
	h := x.w.Header()
	h.Set("Vary", "Accept, Accept-Encoding, Origin")
	if !acceptsGzip(x.r.Header) {
		x.sendAs(x.table.ContentType(), name)
		return x.w, func() error { return nil }, nil
	}
	h.Set("Content-Encoding", "gzip")
	x.sendAs(x.table.ContentType(), name)
	zw := gzipWriters.Get().(*gzip.Writer)
	zw.Reset(x.w)
	return zw, func() error {
		defer gzipWriters.Put(zw)
		return zw.Close()
	}, nil
}
