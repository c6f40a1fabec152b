package api

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"certstate"
	"certstate/edm"
	"certstate/odata"
	"certstate/store"
)

// root is the version root all links begin with.
func (x *exchange) root() string { return x.s.root }

// list answers with a page of records, or of groups of them; or with all records
// as lines.
func (x *exchange) list() error {
	if x.table != nil {
		return x.download()
	}
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.ListOptions)
	if err != nil {
		return err
	}
	wanted := q.Top
	x.preferPageSize(&q)
	at, err := x.position(&q, wanted)
	if err != nil {
		return err
	}
	sh := x.shape(&q)
	sh.IEEE754 = x.rep.IEEE754
	return x.built(http.StatusOK, func(b []byte) ([]byte, error) {
		b = sh.AppendCollectionHead(b, at.Total)
		first := len(b)
		comma := func() []byte {
			if len(b) > first {
				b = append(b, ',')
			}
			return b
		}
		n, size := 0, q.PageSize(0)
		if at.Left > 0 {
			size = min(size, at.Left)
		}
		var page store.Page
		if q.Apply != nil {
			page, err = x.s.cfg.Store.Apply(x.r.Context(), x.tenant, &q, at, size, func(values []odata.Value) error {
				b, n = sh.AppendGroup(comma(), q.Apply, values), n+1
				return nil
			})
		} else {
			page, err = x.s.cfg.Store.List(x.r.Context(), x.tenant, &q, at, size, func(s *certstate.State) error {
				b, n = sh.AppendItem(comma(), s), n+1
				return nil
			})
		}
		if err != nil {
			return b, err
		}
		if at.Left > 0 {
			page.Next.Left -= n
			page.More = page.More && page.Next.Left > 0
		}
		link, err := x.nextLink(&q, page)
		return sh.AppendCollectionTail(b, link), err
	})
}

// position is where the page begins: where its token says, or at the beginning
// of an answer, for which it settles the time and the number of records.
func (x *exchange) position(q *odata.Query, wanted int) (at store.Position, err error) {
	if q.SkipToken != "" {
		sealed, err := x.s.sealer.Open(odata.PageToken, x.tenant.ID, q, q.SkipToken)
		if err != nil {
			return at, err
		}
		q.Skip = 0 // it was done
		at, err = store.ParsePosition(sealed)
		if err == nil && at.AsOf != nil && at.Epoch != x.tenant.Epoch {
			err = certstate.Errorf(certstate.Invalid, "$skiptoken", "The register was restored from a backup since this link was made: begin again.")
		}
		return at, err
	}
	at = store.Position{Now: x.now().Ticks, Total: -1}
	if x.isPowerQuery() { // which takes $top for the number of all, as OData says
		at.Left = wanted
	}
	if at.AsOf, err = x.asOf(q); at.AsOf != nil {
		at.Epoch = x.tenant.Epoch
	}
	if err != nil || !q.Count {
		return at, err
	}
	if q.Apply != nil {
		at.Total, err = x.s.cfg.Store.Groups(x.r.Context(), x.tenant, q, at)
	} else {
		at.Total, err = x.s.cfg.Store.Count(x.r.Context(), x.tenant, q, x.now(), at.AsOf)
	}
	return at, err
}

// now is the time of the request's query.
func (x *exchange) now() edm.DateTimeOffset { return edm.Time(x.s.now().UTC()) }

// asOf is the change that certstate.asOf asks to answer as of, nil without it.
func (x *exchange) asOf(q *odata.Query) (*int64, error) {
	if q.AsOf == nil {
		return nil, nil
	}
	n, err := x.s.cfg.Store.AsOf(x.r.Context(), x.tenant, *q.AsOf)
	return &n, err
}

// maxPosition bounds a position in a link, in bytes.
const maxPosition = 4 << 10

// nextLink is the absolute URL of the page after, or "".
func (x *exchange) nextLink(q *odata.Query, page store.Page) (string, error) {
	if !page.More {
		return "", nil
	}
	at := page.Next.Bytes()
	if len(at) > maxPosition {
		return "", certstate.Errorf(certstate.Invalid, "$orderby", "The page ends at a record whose sort key is too long for a link: sort by another property.")
	}
	return x.link(odata.CanonicalPath, q, odata.PageToken, at), nil
}

// count answers with the number of records, in digits and nothing else.
func (x *exchange) count() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.CountOptions)
	if err != nil {
		return err
	}
	asOf, err := x.asOf(&q)
	if err != nil {
		return err
	}
	n, err := x.s.cfg.Store.Count(x.r.Context(), x.tenant, &q, x.now(), asOf)
	if err != nil {
		return err
	}
	x.plain(http.StatusOK, strconv.FormatInt(n, 10))
	return nil
}

func (x *exchange) get() error {
	q, err := odata.ParseQuery(x.r.URL.RawQuery, odata.ReadOptions)
	if err != nil {
		return err
	}
	return x.read(&q, func(s *certstate.State) error {
		if tags := strings.Join(x.r.Header.Values("If-None-Match"), ","); tags != "" && odata.MatchETag(tags, s.Version, x.tenant.Epoch) {
			x.header("ETag", x.etag(s))
			x.write(http.StatusNotModified, nil)
			return nil
		}
		return x.entity(http.StatusOK, x.shape(&q), s)
	})
}

// read gives the record as it is, or was at the time the query asks for.
func (x *exchange) read(q *odata.Query, visit func(*certstate.State) error) error {
	asOf, err := x.asOf(q)
	if err != nil {
		return err
	}
	if asOf == nil {
		return x.s.cfg.Store.View(x.r.Context(), x.tenant, x.key, q.Select, visit)
	}
	s, err := x.s.cfg.Store.GetAsOf(x.r.Context(), x.tenant, x.key, q.Select, *asOf)
	if gone := x.s.cfg.Store.Kept(x.r.Context(), x.tenant, *asOf); gone != nil {
		return gone
	}
	if err != nil {
		return err
	}
	return visit(s)
}

func (x *exchange) create() error {
	in, err := x.change()
	if err != nil {
		return err
	}
	s, err := x.s.cfg.Store.Create(x.r.Context(), x.tenant, in.body.State, in.by)
	if err != nil {
		return err
	}
	location := x.root() + "/" + odata.KeyPath(s.ID.S)
	x.w.Header().Set("Location", location)
	if x.prefs.Return == "minimal" { // OData Protocol §8.3.4
		x.w.Header()["OData-EntityId"] = []string{location}
	}
	return x.changed(http.StatusCreated, in, s)
}

func (x *exchange) update() error {
	in, err := x.change()
	if err != nil {
		return err
	}
	// SDKs send back what they read, the id included.
	if in.body.Sent&certstate.KeySet != 0 && in.body.State.ID.S != x.key {
		return certstate.Errorf(certstate.Invalid, "id", "The id in the body differs from the one in the URL; an id cannot be changed.")
	}
	set := in.body.Sent &^ certstate.KeySet
	s, err := x.s.cfg.Store.Update(x.r.Context(), x.tenant, x.key, &in.body.State, set, x.match(), in.by)
	if err != nil {
		return err
	}
	return x.changed(http.StatusOK, in, s)
}

// change is what a request to create or update says.
type change struct {
	query odata.Query
	body  *odata.Body
	by    certstate.Cause
}

func (x *exchange) change() (in change, err error) {
	if in.query, err = odata.ParseQuery(x.r.URL.RawQuery, odata.WriteOptions); err != nil {
		return in, err
	}
	if in.by, err = x.cause(); err != nil {
		return in, err
	}
	in.body, err = decoded(x, odata.DecodeBody)
	return in, err
}

// changed answers with the record as it is now, or with nothing if the client
// prefers that.
func (x *exchange) changed(status int, in change, s *certstate.State) error {
	if x.prefs.Return != "" {
		x.w.Header().Set("Preference-Applied", "return="+x.prefs.Return)
	}
	if x.prefs.Return == "minimal" {
		x.header("ETag", x.etag(s))
		x.write(http.StatusNoContent, nil)
		return nil
	}
	sh := x.shape(&in.query)
	sh.DeclareType = in.body.TypeDeclared
	return x.entity(status, sh, s)
}

func (x *exchange) delete() error {
	if _, err := odata.ParseQuery(x.r.URL.RawQuery, odata.NoOptions); err != nil {
		return err
	}
	by, err := x.cause()
	if err != nil {
		return err
	}
	if err := x.s.cfg.Store.Delete(x.r.Context(), x.tenant, x.key, x.match(), by); err != nil {
		return err
	}
	x.write(http.StatusNoContent, nil)
	return nil
}

// match is the version test of the request's If-Match, nil if it has none.
func (x *exchange) match() store.Match {
	tags := strings.Join(x.r.Header.Values("If-Match"), ",")
	if tags == "" {
		return nil
	}
	return func(version int64) bool { return odata.MatchETag(tags, version, x.tenant.Epoch) }
}

// reasonHeader says why a record is changed; the change log keeps it.
const reasonHeader = "Certstate-Reason"

// maxReason bounds it, in characters.
const maxReason = 500

func (x *exchange) cause() (certstate.Cause, error) {
	reason := x.r.Header.Get(reasonHeader)
	if !utf8.ValidString(reason) || utf8.RuneCountInString(reason) > maxReason {
		return certstate.Cause{}, certstate.Errorf(certstate.Invalid, reasonHeader, "%s must be UTF-8 text of at most %d characters.", reasonHeader, maxReason)
	}
	return certstate.Cause{Actor: x.principal.Actor(), Reason: reason, Once: x.once}, nil
}
